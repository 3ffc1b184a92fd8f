// SPDX-License-Identifier: Apache-2.0
// .pt files without Python: hostile archives and pickles, every byte changed, and what can't be written.
#include "athanor/checkpoint/torch_file.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>

#include "athanor/checkpoint/pickle_writer.hpp"
#include "athanor/checkpoint/torch_index.hpp"
#include "athanor/checkpoint/zip_writer.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/state.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::torch_file_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::string_literals;

class TorchFileTest : public ::testing::Test {
 protected:
  TorchFileTest() {
    std::string name = (fs::temp_directory_path() / "athanor-torch-file-test-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ / "net.pt";
  }
  ~TorchFileTest() override { fs::remove_all(folder_); }

  static std::string content(const fs::path& path) {
    const MappedFile file(path);
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }

  /// An archive with this pickle and one storage of 24 bytes.
  void write_archive(const std::string& pickle) {
    write_file_atomically(path_, [&](FileWriter& file) {
      ZipWriter archive([&](std::span<const std::byte> bytes) { file.write(bytes); });
      archive.add("net/data.pkl", pickle);
      archive.add("net/data/0", std::string(24, '\1'));
      archive.finish();
    });
  }

  Error::Parts refusal() {
    return error_of([&] { return load_torch_file(path_); });
  }
  Error::Parts refusal_of(const std::string& pickle) {
    write_archive(pickle);
    return refusal();
  }

  fs::path folder_;
  fs::path path_;
};

/// Without waiting for the disk.
void write_plainly(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

struct TensorPickle {
  std::string storage = "FloatStorage";
  std::int64_t elements = 6;
  std::int64_t offset = 0;
  std::vector<std::int64_t> sizes = {2, 3};
  std::vector<std::int64_t> strides = {3, 1};
  std::string key = "0";
};

/// `{"w": tensor}` as torch.save writes it.
std::string pickle_of(const TensorPickle& tensor) {
  PickleWriter writer;
  writer.begin_dictionary();
  writer.text("w");
  writer.global("torch._utils", "_rebuild_tensor_v2");
  writer.begin_tuple();
  writer.begin_tuple();
  writer.text("storage");
  writer.global("torch", tensor.storage);
  writer.text(tensor.key);
  writer.text("cpu");
  writer.integer(tensor.elements);
  writer.end_tuple();
  writer.persistent();
  writer.integer(tensor.offset);
  writer.integers(tensor.sizes);
  writer.integers(tensor.strides);
  writer.boolean(false);
  writer.global("collections", "OrderedDict");
  writer.integers({});
  writer.call();
  writer.end_tuple();
  writer.call();
  writer.end_dictionary();
  return writer.finish();
}

TEST_F(TorchFileTest, ATensorMustLieWithinItsStorage) {
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  write_archive(pickle_of({}));
  EXPECT_EQ(load_torch_file(path_)["w"].describe(), "float32 (2, 3)");
  const std::vector<TensorPickle> bad{
      {.sizes = {2, 4}, .strides = {4, 1}},
      {.offset = 1},
      {.offset = -1},
      {.offset = largest},
      {.sizes = {7}, .strides = {1}},
      {.sizes = {2}, .strides = {6}},
      {.sizes = {-1}, .strides = {1}},
      {.sizes = {2, 3}, .strides = {-3, 1}},
      {.sizes = {2, 3}, .strides = {1}},
      {.sizes = {largest}, .strides = {1}},
      {.sizes = {largest}, .strides = {0}},
      {.sizes = {std::int64_t{1} << 32, std::int64_t{1} << 32}, .strides = {0, 0}},
      {.sizes = {2}, .strides = {largest}},
      {.sizes = {3}, .strides = {std::int64_t{1} << 62}},
      {.sizes = {0, largest, largest}, .strides = {1, 1, 1}},
      {.offset = 7, .sizes = {0}, .strides = {1}},
      {.storage = "DoubleStorage", .elements = 3},
  };
  for (const TensorPickle& each : bad) {
    const auto parts = refusal_of(pickle_of(each));
    EXPECT_EQ(parts.what, "a tensor in a .pt file lies outside its storage") << parts.got;
    EXPECT_EQ(parts.where, path_.string() + ", value 'w'");
  }
}

TEST_F(TorchFileTest, AStorageMustLieInTheArchive) {
  auto parts = refusal_of(pickle_of({.elements = 7}));
  EXPECT_EQ(parts.what, "a storage of a .pt file is missing or too short");
  EXPECT_EQ(parts.got, "24 bytes in 'net/data/0'");
  EXPECT_EQ(parts.expected, "28 bytes of float32");
  EXPECT_EQ(refusal_of(pickle_of({.key = "1"})).got, "no file 'net/data/1' in the archive");
  EXPECT_EQ(refusal_of(pickle_of({.key = "../data.pkl"})).got, "no file 'net/data/../data.pkl' in the archive");
  for (const std::int64_t elements : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(refusal_of(pickle_of({.elements = elements})).what, "a storage in a .pt file is larger than any memory");
  }
  EXPECT_THAT(refusal_of(pickle_of({.storage = "QInt8Storage"})).what, HasSubstr("quantized"));
}

TEST_F(TorchFileTest, BooleansAreZeroOrOne) {
  write_archive(pickle_of({.storage = "BoolStorage", .elements = 24}));
  EXPECT_EQ(load_torch_file(path_)["w"].describe(), "bool (2, 3)");
  write_file_atomically(path_, [&](FileWriter& file) {
    ZipWriter archive([&](std::span<const std::byte> bytes) { file.write(bytes); });
    archive.add("net/data.pkl", pickle_of({.storage = "BoolStorage", .elements = 24}));
    archive.add("net/data/0", std::string(24, '\2'));
    archive.finish();
  });
  EXPECT_THAT(refusal().what, HasSubstr("neither 0 nor 1"));
}

TEST_F(TorchFileTest, CallsOfAnotherFormAreRefused) {
  const std::string begin = "\x80\x02";
  for (const std::string& body :
       std::vector<std::string>{"ctorch._utils\n_rebuild_tensor_v2\n)R", "ctorch._utils\n_rebuild_parameter\n(NNNtR",
                                "ctorch\nSize\n)R", "ctorch\nfloat32\n)R", "cnumpy\nndarray\n)R", "cnumpy\ndtype\n)R",
                                "cnumpy._core.multiarray\nscalar\n(K\x01K\x02tR", "ctorch\ndevice\n(K\x01tR",
                                "cbuiltins\ncomplex\n(K\x01K\x02tR",
                                "c_codecs\nencode\n(X\x01\x00\x00\x00"
                                "aK\x01tR"s,
                                "K\x01Q", "(K\x01tQ", "(X\x06\x00\x00\x00moduleK\x01K\x02K\x03K\x04tQ"s}) {
    EXPECT_THAT(refusal_of(begin + body + ".").what, HasSubstr("another form than torch.save gives it")) << body;
  }
  EXPECT_THAT(refusal_of(begin + "ctorch\nTensor\n.").what, HasSubstr("a class instead of a value"));
  EXPECT_THAT(refusal_of(begin + "\x8a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f.").what,
              HasSubstr("does not fit 64 bits"));
  EXPECT_THAT(refusal_of(begin + "N.N").what, HasSubstr("goes on after its end"));
}

TEST_F(TorchFileTest, ArchivesOfSomethingElseAreRefused) {
  write_file_atomically(path_, std::string_view("PK\x03\x04 and no more"));
  EXPECT_EQ(refusal().what, "the file is not a zip archive, or its end is missing");
  write_file_atomically(path_, std::string_view(""));
  EXPECT_EQ(refusal().what, "this is not a pickle of protocol 2 or later");
  write_file_atomically(path_, std::string_view("\x80\x02N."));
  EXPECT_EQ(refusal().what, "the file is neither an archive of torch.save nor of its older format");
  const auto write_entries = [&](const std::vector<std::pair<std::string, std::string>>& entries) {
    write_file_atomically(path_, [&](FileWriter& file) {
      ZipWriter archive([&](std::span<const std::byte> bytes) { file.write(bytes); });
      for (const auto& [name, text] : entries) archive.add(name, text);
      archive.finish();
    });
  };
  write_entries({{"word/document.xml", "<xml/>"}});
  EXPECT_EQ(refusal().what, "the archive was not written by torch.save");
  write_entries({});
  EXPECT_EQ(refusal().what, "the archive was not written by torch.save");
  write_entries({{"a/data.pkl", "\x80\x02N."}, {"a/constants.pkl", ""}});
  EXPECT_THAT(refusal().what, HasSubstr("TorchScript"));
  write_entries({{"a/data.pkl", "\x80\x02N."}, {"a/byteorder", "big"}});
  EXPECT_THAT(refusal().what, HasSubstr("stored the other way round"));
  write_entries({{"a/data.pkl", "\x80\x02N."}});
  EXPECT_TRUE(load_torch_file(path_).empty());
}

Tree small_tree() {
  return {{"model", Tree{{"weight", at::arange(6).to(at::kFloat).reshape({2, 3})},
                         {"mask", at::ones({5}, at::TensorOptions().dtype(at::kBool))}}},
          {"epoch", 3},
          {"name", "small"},
          {"history", Tree::list({0.5, true, Tree()})}};
}

/// Loading anything gives an Error or the same tree: with checksums no changed value passes.
void expect_refused_or_equal(const fs::path& path, const std::string& bytes, const Tree& expected,
                             std::size_t& refused) {
  write_plainly(path, bytes);
  try {
    EXPECT_THAT(compare_states(load_torch_file(path), expected), IsEmpty());
  } catch (const Error& error) {
    EXPECT_NE(error.parts().where.find(path.string()), std::string::npos) << error.what();
    ++refused;
  }
}

TEST_F(TorchFileTest, AFileCutAnywhereIsRefused) {
  save_torch_file(path_, small_tree());
  const std::string file = content(path_);
  const fs::path changed = folder_ / "changed.pt";
  std::size_t refused = 0;
  for (std::size_t length = 0; length < file.size(); length += 7) {
    expect_refused_or_equal(changed, file.substr(0, length), small_tree(), refused);
  }
  EXPECT_EQ(refused, (file.size() + 6) / 7);
}

TEST_F(TorchFileTest, AnyChangedByteIsRefusedOrChangesNothing) {
  save_torch_file(path_, small_tree());
  const std::string file = content(path_);
  const fs::path changed = folder_ / "changed.pt";
  std::size_t refused = 0;
  for (std::size_t place = 0; place < file.size(); ++place) {
    std::string bytes = file;
    bytes[place] = static_cast<char>(bytes[place] ^ (1 << (place % 8)));
    expect_refused_or_equal(changed, bytes, small_tree(), refused);
  }
  // All of the pickle, of the data and of the directory; what is left are paddings, dates and lengths that are told
  // twice.
  EXPECT_GT(refused, file.size() / 3);
}

TEST_F(TorchFileTest, AnyChangedByteOfTheOlderFormatIsAnErrorOrATree) {
  const std::string file = content(fs::path(ATHANOR_SOURCE_DIR "/tests/checkpoint/recorded/layouts_legacy.pt"));
  const fs::path changed = folder_ / "changed.pt";
  std::mt19937 random(5);
  std::size_t refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = file;
    bytes[random() % bytes.size()] = static_cast<char>(random());
    write_plainly(changed, bytes);
    try {
      for (const at::Tensor& tensor : load_torch_file(changed).tensors()) (void)tensor.clone();
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 500U);
  for (std::size_t length = 0; length < file.size(); length += 13) {
    write_plainly(changed, file.substr(0, length));
    EXPECT_THROW((void)load_torch_file(changed), Error) << length;
  }
}

TEST_F(TorchFileTest, WithoutVerifyingOnlyTheValuesAreChecked) {
  save_torch_file(path_, {{"w", at::arange(1000)}});
  std::string file = content(path_);
  const std::size_t data = file.find(std::string("\x05\0\0\0\0\0\0\0", 8));
  file[data] = 6;
  write_file_atomically(path_, file);
  const auto parts = refusal();
  EXPECT_EQ(parts.what, "a .pt file is damaged: a checksum does not fit");
  EXPECT_EQ(parts.where, path_.string() + ", file 'archive/data/0' in it");
  EXPECT_EQ(load_torch_file(path_, {.verify = false})["w"].tensor()[5].item<int64_t>(), 6);
}

TEST_F(TorchFileTest, TensorsViewTheFileAndOutliveItAndNeverChangeIt) {
  save_torch_file(path_, {{"w", at::arange(1000)}, {"empty", at::empty({0, 2})}});
  const std::string file = content(path_);
  const Tree tree = load_torch_file(path_);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tree["w"].tensor().const_data_ptr()) % 64, 0U);
  tree["w"].tensor().fill_(7);
  EXPECT_EQ(content(path_), file);
  fs::remove(path_);
  EXPECT_EQ(tree["w"].tensor().sum().item<int64_t>(), 7000);
  EXPECT_EQ(tree["empty"].tensor().sizes(), (at::IntArrayRef{0, 2}));
}

TEST_F(TorchFileTest, WhatIsWrittenComesBack) {
  const at::Tensor base = at::arange(100).to(at::kFloat);
  const at::Tensor numbers = at::complex(base.slice(0, 0, 3), -base.slice(0, 0, 3));
  const Tree tree = {{"base", base},
                     {"columns", base.reshape({10, 10}).slice(1, 3, 9, 2)},
                     {"expanded", base.slice(0, 0, 1).expand({5})},
                     {"conjugate", numbers.conj()},
                     {"part", base.slice(0, 90, 95).clone().set_requires_grad(true)},
                     {"nested", Tree::list({Tree::list({}), Tree(Tree::Dictionary{}), small_tree()})},
                     {"", "empty name"}};
  save_torch_file(path_, tree);
  const Tree read = load_torch_file(path_);
  EXPECT_THAT(compare_states(read, tree), IsEmpty());
  EXPECT_EQ(read["columns"].tensor().strides(), tree["columns"].tensor().strides());
  EXPECT_EQ(read["columns"].tensor().storage().data(), read["base"].tensor().storage().data());
  EXPECT_TRUE(read["conjugate"].tensor().is_conj());
  EXPECT_TRUE(read["part"].tensor().requires_grad());
  const std::string file = content(path_);
  save_torch_file(path_, tree);
  EXPECT_EQ(content(path_), file) << "the same tree gives the same bytes";
  save_torch_file(path_, read);
  EXPECT_EQ(content(path_), file) << "a file can be written over from tensors that view it";
}

TEST_F(TorchFileTest, OnlyThePartOfAStorageThatIsReachedIsWritten) {
  const at::Tensor large = at::zeros({1 << 20});
  save_torch_file(path_, {{"a", large.slice(0, 1000, 1010)}, {"b", large.slice(0, 1020, 1030)}});
  EXPECT_LT(fs::file_size(path_), 4096U);
  const Tree read = load_torch_file(path_);
  EXPECT_EQ(read["b"].tensor().storage_offset() - read["a"].tensor().storage_offset(), 20);
}

TEST_F(TorchFileTest, WhatCannotBeWrittenIsRefusedByNameAndLeavesNoFile) {
  const auto refusal_to_write = [&](const at::Tensor& tensor) {
    return error_of([&] { save_torch_file(path_, {{"a", Tree::list({1, tensor})}}); });
  };
  EXPECT_EQ(refusal_to_write(at::Tensor()).where, path_.string() + ", value 'a.1'");
  EXPECT_EQ(refusal_to_write(at::ones({2, 2}).to_sparse()).todo,
            "convert it first, for example by to_dense() or dequantize()");
  EXPECT_EQ(refusal_to_write(at::empty({2}, at::TensorOptions().device(at::kMeta))).got,
            "a tensor without data (meta)");
  const auto parts = error_of([&] { save_torch_file(path_, {{"text", "\xff"}}); });
  EXPECT_EQ(parts.where, path_.string() + ", value 'text'");
  EXPECT_EQ(parts.expected, "UTF-8 of less than 2^32 bytes");
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(TorchFileTest, OnlyTheStateOfAnOptimizerHasWholeNumbersAsKeys) {
  const auto keys = [&](const Tree& tree) {
    save_torch_file(path_, tree);
    const std::string file = content(path_);
    const ZipIndex archive = parse_zip(std::as_bytes(std::span(file)), "net.pt");
    const ZipEntry& entry = torch_pickle_entry(archive, "net.pt");
    const Pickle pickle = parse_pickle(std::as_bytes(std::span(file)).subspan(entry.begin, entry.bytes), "net.pt");
    return pickle.kind(pickle.children(pickle.children(pickle.root())[1])[0]);
  };
  const Tree numbers = {{"0", 1}, {"1", 2}};
  EXPECT_EQ(keys({{"state", numbers}, {"param_groups", Tree::list({})}}), PickleKind::integer);
  EXPECT_EQ(keys({{"state", numbers}}), PickleKind::text);
  EXPECT_EQ(keys({{"other", numbers}, {"param_groups", Tree::list({})}}), PickleKind::text);
  EXPECT_EQ(keys({{"state", Tree{{"0", 1}, {"01", 2}}}, {"param_groups", Tree::list({})}}), PickleKind::text);
}

}  // namespace
}  // namespace athanor::testing::torch_file_test
