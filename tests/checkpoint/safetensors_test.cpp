// SPDX-License-Identifier: Apache-2.0
// safetensors files and tensors: what is refused, that views outlive the file object, and loading all or nothing.
#include "athanor/checkpoint/safetensors.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "tests/core/error_of.hpp"

namespace athanor::safetensors_test {
namespace {

namespace fs = std::filesystem;

class Safetensors : public ::testing::Test {
 protected:
  Safetensors() {
    std::string name = (fs::temp_directory_path() / "athanor-safetensors-test-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ / "net.safetensors";
  }
  ~Safetensors() override { fs::remove_all(folder_); }

  Error::Parts error_of_writing(const NamedTensors& tensors) {
    return error_of([&] { write_safetensors(path_, tensors); });
  }

  fs::path folder_;
  fs::path path_;
};

at::Tensor numbers(at::IntArrayRef shape, at::ScalarType type = at::kFloat) {
  int64_t count = 1;
  for (const auto size : shape) count *= size;
  return at::arange(count, at::TensorOptions().dtype(at::kFloat)).reshape(shape).to(type);
}

TEST_F(Safetensors, OpeningAMissingOrForeignFileNamesIt) {
  EXPECT_EQ(error_of([&] { SafetensorsFile{path_}; }).got, "No such file or directory");
  write_file_atomically(path_, "PK\x03\x04 a zip archive and no more");
  const auto parts = error_of([&] { SafetensorsFile{path_}; });
  EXPECT_EQ(parts.where, path_.string());
  EXPECT_EQ(parts.what, "the file is not a safetensors file, or its header is too long");
}

TEST_F(Safetensors, ACutFileIsFoundWhenItIsOpened) {
  write_safetensors(path_, NamedTensors{{"w", numbers({4, 4})}});
  fs::resize_file(path_, fs::file_size(path_) - 1);
  const auto parts = error_of([&] { SafetensorsFile{path_}; });
  EXPECT_EQ(parts.what, "the data of a tensor lies outside the file");
  EXPECT_EQ(parts.where, path_.string() + ", tensor 'w'");
}

TEST_F(Safetensors, TensorsThatTheFormatCannotHoldAreRefusedByName) {
  EXPECT_EQ(error_of_writing({{"gone", at::Tensor()}}).where, path_.string() + ", tensor 'gone'");
  auto parts = error_of_writing({{"wide", at::zeros({2}, at::TensorOptions().dtype(at::kComplexDouble))}});
  EXPECT_EQ(parts.what, "a tensor has a type that safetensors files can't hold");
  EXPECT_EQ(parts.got, "ComplexDouble");
  EXPECT_NE(parts.expected.find("Float"), std::string::npos);
  parts = error_of_writing({{"thin", at::ones({2, 2}).to_sparse()}});
  EXPECT_EQ(parts.todo, "convert it first, for example by to_dense() or dequantize()");
  EXPECT_EQ(error_of_writing({{"meta", at::empty({2}, at::TensorOptions().device(at::kMeta))}}).got,
            "a tensor without data (meta)");
  EXPECT_EQ(error_of_writing({{"w", at::ones({1})}, {"w", at::ones({1})}}).what, "two tensors have the same name");
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(Safetensors, AnUnknownNameIsToldWithTheNearestOnes) {
  write_safetensors(path_, NamedTensors{{"encoder.weight", at::ones({1})}, {"decoder.bias", at::ones({1})}});
  const SafetensorsFile file(path_);
  const auto parts = error_of([&] { (void)file.tensor("encoder.weigth"); });
  EXPECT_EQ(parts.what, "there is no tensor of this name in the file");
  EXPECT_EQ(parts.got, "encoder.weigth");
  EXPECT_EQ(parts.expected, "one of its 2 names, the nearest: encoder.weight, decoder.bias");
}

TEST_F(Safetensors, ABoolThatIsNeitherZeroNorOneIsRefused) {
  SafetensorsIndex index = arrange_safetensors({{.name = "mask", .dtype = SafetensorsType::boolean, .shape = {3}}});
  write_file_atomically(path_, safetensors_header(index) + std::string("\0\1\2", 3));
  const SafetensorsFile file(path_);
  EXPECT_EQ(error_of([&] { (void)file.tensor("mask"); }).where, path_.string() + ", tensor 'mask'");
}

TEST_F(Safetensors, EveryTypeComesBackAsItWas) {
  NamedTensors tensors;
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort, at::kChar,
                          at::kByte, at::kUInt16, at::kUInt32, at::kUInt64, at::kFloat8_e4m3fn, at::kFloat8_e5m2}) {
    tensors.emplace_back(c10::toString(type), numbers({3, 5}, type));
  }
  tensors.emplace_back("bool", numbers({7}).remainder(2).to(at::kBool));
  tensors.emplace_back("complex", at::complex(numbers({3}), -numbers({3})));
  write_safetensors(path_, tensors);
  const SafetensorsFile file(path_);
  ASSERT_EQ(file.entries().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor read = file.tensor(name);
    EXPECT_EQ(read.scalar_type(), tensor.scalar_type()) << name;
    ASSERT_EQ(read.sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(at::equal(read.view(at::kByte), tensor.contiguous().view(at::kByte))) << name;
    EXPECT_FALSE(read.requires_grad());
  }
}

TEST_F(Safetensors, AnyStridesAndLazyViewsAreWrittenAsTheirValues) {
  const at::Tensor matrix = numbers({4, 6}).set_requires_grad(true);
  const at::Tensor complex = at::complex(numbers({3}), numbers({3}));
  const NamedTensors tensors{{"transposed", matrix.t()},
                             {"part", matrix.slice(1, 1, 6, 2)},
                             {"expanded", at::ones({1, 3}).expand({4, 3})},
                             {"conjugate", complex.conj()},
                             {"channels_last", numbers({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast)}};
  write_safetensors(path_, tensors);
  const SafetensorsFile file(path_);
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(at::equal(file.tensor(name), tensor)) << name;
}

TEST_F(Safetensors, TensorsThatShareMemoryAreEachWritten) {
  const at::Tensor shared = numbers({3});
  write_safetensors(path_, NamedTensors{{"first", shared}, {"second", shared}});
  const SafetensorsFile file(path_);
  EXPECT_TRUE(at::equal(file.tensor("first"), shared));
  EXPECT_TRUE(at::equal(file.tensor("second"), shared));
}

TEST_F(Safetensors, EmptyTensorsSingleNumbersAndNoTensorsAtAll) {
  write_safetensors(path_, NamedTensors{{"none", at::empty({0, 3})}, {"one", at::full({}, 2.5)}});
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.tensor("none").sizes(), (at::IntArrayRef{0, 3}));
  EXPECT_EQ(file.tensor("one").dim(), 0);
  EXPECT_EQ(file.tensor("one").item<float>(), 2.5F);
  write_safetensors(path_, {}, {{"note", "nothing"}});
  EXPECT_TRUE(SafetensorsFile(path_).entries().empty());
  EXPECT_EQ(SafetensorsFile(path_).metadata().at("note"), "nothing");
}

TEST_F(Safetensors, NamesComeInFileOrderWithMetadata) {
  write_safetensors(path_, NamedTensors{{"b", numbers({2})}, {"a", numbers({2})}, {"c", numbers({1}, at::kLong)}},
                    {{"epoch", "3"}});
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.names(), (std::vector<std::string>{"c", "a", "b"}));
  EXPECT_TRUE(file.contains("a"));
  EXPECT_FALSE(file.contains("d"));
  EXPECT_EQ(file.metadata(), (SafetensorsMetadata{{"epoch", "3"}}));
  EXPECT_EQ(file.tensors().at(1).first, "a");
}

TEST_F(Safetensors, ATensorIsAViewThatOutlivesTheFileObjectAndTheFile) {
  const at::Tensor weight = numbers({100, 100});
  write_safetensors(path_, NamedTensors{{"w", weight}});
  at::Tensor read;
  {
    const SafetensorsFile file(path_);
    read = file.tensor("w");
    EXPECT_EQ(read.const_data_ptr(), file.tensor("w").const_data_ptr());
  }
  fs::remove(path_);
  EXPECT_TRUE(at::equal(read, weight));
}

TEST_F(Safetensors, WritingIntoATensorNeverReachesTheFile) {
  write_safetensors(path_, NamedTensors{{"w", at::zeros({8})}});
  SafetensorsFile(path_).tensor("w").add_(1);
  EXPECT_TRUE(at::equal(SafetensorsFile(path_).tensor("w"), at::zeros({8})));
}

TEST_F(Safetensors, AFileCanBeWrittenFromTensorsThatViewIt) {
  write_safetensors(path_, NamedTensors{{"a", numbers({50})}, {"b", numbers({70})}});
  NamedTensors views = SafetensorsFile(path_).tensors();
  views.pop_back();
  write_safetensors(path_, views);
  EXPECT_TRUE(at::equal(SafetensorsFile(path_).tensor("a"), numbers({50})));
}

TEST_F(Safetensors, DataThatIsNotAlignedIsCopied) {
  std::string header = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  while (header.size() % 4 != 1) header += ' ';
  const at::Tensor values = numbers({2});
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  file += header + std::string(static_cast<const char*>(values.const_data_ptr()), 8);
  write_file_atomically(path_, file);
  const at::Tensor read = SafetensorsFile(path_).tensor("w");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(read.const_data_ptr()) % 4, 0U);
  EXPECT_TRUE(at::equal(read, values));
}

class CopyInto : public Safetensors {};

TEST_F(CopyInto, EveryDifferenceIsToldAndNothingIsChanged) {
  write_safetensors(path_, NamedTensors{{"fits", at::ones({2})},
                                        {"shape", at::ones({2, 3})},
                                        {"type", at::ones({2}, at::TensorOptions().dtype(at::kDouble))},
                                        {"extra", at::ones({1})}});
  const NamedTensors net{
      {"fits", at::zeros({2})}, {"shape", at::zeros({3, 2})}, {"type", at::zeros({2})}, {"new", at::zeros({1})}};
  const auto parts = error_of([&] { copy_into(SafetensorsFile(path_), net); });
  EXPECT_EQ(parts.what, "the weights in the file do not fit; nothing was loaded");
  EXPECT_EQ(parts.where, path_.string());
  EXPECT_EQ(parts.got,
            "4 differences\n"
            "    shape: the file has F32 [2, 3], expected F32 [3, 2]\n"
            "    type: the file has F64 [2], expected F32 [2]\n"
            "    new: missing in the file\n"
            "    extra: only in the file");
  EXPECT_FALSE(parts.todo.empty());
  EXPECT_TRUE(at::equal(net[0].second, at::zeros({2})));
}

TEST_F(CopyInto, ManyDifferencesAreCutAfterTwenty) {
  write_safetensors(path_, {});
  NamedTensors net;
  for (int i = 0; i < 25; ++i) net.emplace_back("layer" + std::to_string(i), at::zeros({1}));
  const auto parts = error_of([&] { copy_into(SafetensorsFile(path_), net); });
  EXPECT_TRUE(parts.got.starts_with("25 differences\n    layer0: missing"));
  EXPECT_TRUE(parts.got.ends_with("layer19: missing in the file\n    and 5 more"));
}

TEST_F(CopyInto, AnUndefinedDestinationIsAMismatch) {
  write_safetensors(path_, NamedTensors{{"w", at::ones({2})}});
  const NamedTensors net{{"w", at::Tensor()}};
  const auto parts = error_of([&] { copy_into(SafetensorsFile(path_), net); });
  EXPECT_EQ(parts.got, "1 difference\n    w: the file has F32 [2], expected an undefined tensor");
}

TEST_F(CopyInto, AllowedDifferencesAreReportedAndTheRestIsCopied) {
  write_safetensors(path_, NamedTensors{{"w", at::ones({2})}, {"extra", at::ones({1})}});
  const NamedTensors net{{"w", at::zeros({2})}, {"new", at::zeros({1})}};
  EXPECT_THROW(copy_into(SafetensorsFile(path_), net, {.allow_missing = true}), Error);
  EXPECT_THROW(copy_into(SafetensorsFile(path_), net, {.allow_unexpected = true}), Error);
  EXPECT_TRUE(at::equal(net[0].second, at::zeros({2})));
  const auto report = copy_into(SafetensorsFile(path_), net, {.allow_missing = true, .allow_unexpected = true});
  EXPECT_EQ(report.missing, std::vector<std::string>{"new"});
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"extra"});
  EXPECT_TRUE(report.mismatched.empty());
  EXPECT_TRUE(at::equal(net[0].second, at::ones({2})));
  EXPECT_TRUE(at::equal(net[1].second, at::zeros({1})));
}

TEST_F(CopyInto, ParametersKeepAddressStridesAndGradient) {
  write_safetensors(path_, NamedTensors{{"w", numbers({4, 6})}});
  const at::Tensor base = at::zeros({6, 4});
  at::Tensor parameter = base.t().detach().set_requires_grad(true);
  const void* address = parameter.const_data_ptr();
  const NamedTensors net{{"w", parameter}};
  copy_into(SafetensorsFile(path_), net);
  EXPECT_TRUE(at::equal(parameter.detach(), numbers({4, 6})));
  EXPECT_EQ(parameter.const_data_ptr(), address);
  EXPECT_EQ(parameter.strides(), (at::IntArrayRef{1, 4}));
  EXPECT_TRUE(parameter.requires_grad() && parameter.is_leaf());
}

TEST_F(CopyInto, ComparingAloneChangesNothing) {
  write_safetensors(path_, NamedTensors{{"w", at::ones({2})}});
  const NamedTensors net{{"w", at::zeros({3})}};
  const auto report = compare_weights(SafetensorsFile(path_), net);
  ASSERT_EQ(report.mismatched.size(), 1U);
  EXPECT_EQ(report.mismatched[0].got, "F32 [2]");
  EXPECT_EQ(report.mismatched[0].expected, "F32 [3]");
}

}  // namespace
}  // namespace athanor::safetensors_test
