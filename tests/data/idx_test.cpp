// SPDX-License-Identifier: Apache-2.0
// IDX and gzip: damaged files of every kind, then values, types and the real Fashion-MNIST.
#include "athanor/data/idx.hpp"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <zlib.h>

#include <bit>
#include <chrono>
#include <cstring>
#include <string>

#include "athanor/core/file.hpp"
#include "athanor/data/fashion_mnist.hpp"
#include "athanor/data/gzip.hpp"
#include "athanor/data/idx_index.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::idx_test {
namespace {

namespace fs = std::filesystem;

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 255U);
  return bytes;
}

std::string idx_of(char type, const std::vector<std::uint32_t>& shape, const std::string& elements) {
  std::string file{'\0', '\0', type, static_cast<char>(shape.size())};
  for (const auto size : shape) file += big_endian(size);
  return file + elements;
}

std::string packed(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string bytes(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  deflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  return bytes;
}

std::string unpacked(const std::string& bytes, const UnpackOptions& options = {}) {
  const auto content = unpack_gzip(std::as_bytes(std::span(bytes)), "file.gz", options);
  return {reinterpret_cast<const char*>(content.data.get()), content.size};
}

Error::Parts error_of_unpacking(const std::string& bytes, const UnpackOptions& options = {}) {
  return error_of([&] { (void)unpacked(bytes, options); });
}

Error::Parts error_of_parsing(const std::string& bytes) {
  return error_of([&] { (void)parse_idx(std::as_bytes(std::span(bytes)), "file.idx"); });
}

class IdxFile : public ::testing::Test {
 protected:
  IdxFile() {
    std::string name = (fs::temp_directory_path() / "athanor-idx-test-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~IdxFile() override { fs::remove_all(folder_); }

  at::Tensor read(const std::string& bytes) {
    write_file_atomically(folder_ / "file", bytes);
    return read_idx(folder_ / "file");
  }

  fs::path folder_;
};

TEST(IdxIndex, AFileThatIsNotIdxShowsItsFirstBytes) {
  EXPECT_EQ(error_of_parsing("").got, "an empty file");
  const auto parts = error_of_parsing("\x89PNG and more");
  EXPECT_EQ(parts.what, "this is not an IDX file");
  EXPECT_EQ(parts.where, "file.idx");
  EXPECT_EQ(parts.got, "a file that begins with the bytes 89 50 4e 47");
  for (const std::string& magic :
       {std::string("\0\0\x08", 3), std::string("\0\0\x0A\1", 4), std::string("\0\0\x08\0", 4),
        std::string("\0\1\x08\1", 4), std::string("\0\0\x08\x41", 4)}) {
    EXPECT_EQ(error_of_parsing(magic + std::string(300, '\0')).what, "this is not an IDX file");
  }
}

TEST(IdxIndex, TooFewAndTooManyBytesAreTold) {
  auto parts = error_of_parsing(idx_of(8, {2, 3}, "").substr(0, 11));
  EXPECT_EQ(parts.what, "an IDX file ends within its header");
  EXPECT_EQ(parts.expected, "12 bytes of header for 2 dimensions");
  parts = error_of_parsing(idx_of(11, {2, 3}, std::string(11, 'x')));
  EXPECT_EQ(parts.what, "an IDX file has fewer elements than its header says");
  EXPECT_EQ(parts.got, "11 bytes after the header");
  EXPECT_EQ(parts.expected, "12 bytes for 2 x 3 elements of 2 bytes");
  parts = error_of_parsing(idx_of(8, {2, 3}, std::string(7, 'x')));
  EXPECT_EQ(parts.what, "an IDX file goes on after its last element");
  EXPECT_EQ(parts.expected, "6 bytes for 2 x 3 elements");
}

TEST(IdxIndex, SizesThatOverflowAreRefused) {
  EXPECT_EQ(error_of_parsing(idx_of(14, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "")).what,
            "an IDX file has fewer elements than its header says");
  EXPECT_EQ(error_of_parsing(idx_of(14, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0}, "")).what,
            "an IDX file has fewer elements than its header says");
  EXPECT_EQ(error_of_parsing(idx_of(8, {0x80000000, 0x80000000, 4}, "")).got, "0 bytes after the header");
}

TEST(IdxIndex, CutOrChangedAnywhereItIsAnErrorOrStaysWithinBounds) {
  const std::string file = idx_of(12, {2, 3}, std::string(24, 'x'));
  for (std::size_t length = 0; length < file.size(); ++length) {
    EXPECT_THROW((void)parse_idx(std::as_bytes(std::span(file).first(length)), ""), Error) << length;
  }
  for (std::size_t place = 0; place < 12; ++place) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = file;
      changed[place] = static_cast<char>(value);
      try {
        const auto index = parse_idx(std::as_bytes(std::span(changed)), "");
        EXPECT_EQ(index.data_begin + index.elements * bytes_of(index.type), file.size());
      } catch (const Error&) {
      }
    }
  }
}

TEST(Gzip, WhatIsNotGzipIsRefused) {
  EXPECT_EQ(error_of_unpacking("").what, "this is not a gzip file");
  EXPECT_EQ(error_of_unpacking("plain text").where, "file.gz");
}

TEST(Gzip, CutAtAnyByteItIsAnError) {
  const std::string file = packed(std::string(3000, 'a') + "some other text");
  for (std::size_t length = 2; length < file.size(); ++length) {
    const auto parts = error_of_unpacking(file.substr(0, length));
    EXPECT_EQ(parts.what, "a gzip file is cut short") << length;
    EXPECT_EQ(parts.where, "file.gz");
  }
}

TEST(Gzip, AChangedByteNeverPassesTheCheckSum) {
  const std::string text = std::string(3000, 'a') + "some other text";
  const std::string file = packed(text);
  auto damaged = file;
  damaged[damaged.size() - 8] ^= 1;
  auto parts = error_of_unpacking(damaged);
  EXPECT_EQ(parts.what, "a gzip file is damaged");
  EXPECT_EQ(parts.got, "incorrect data check");
  damaged = file;
  damaged[damaged.size() - 1] ^= 1;
  EXPECT_EQ(error_of_unpacking(damaged).got, "incorrect length check");
  for (std::size_t place = 0; place < file.size(); ++place) {
    for (int bit = 0; bit < 8; ++bit) {
      damaged = file;
      damaged[place] = static_cast<char>(damaged[place] ^ 1 << bit);
      try {
        EXPECT_EQ(unpacked(damaged), text) << place;
      } catch (const Error&) {
      }
    }
  }
}

TEST(Gzip, AFileThatUnpacksToMoreThanAllowedIsStopped) {
  const std::string bomb = packed(std::string(10'000'000, '\0'));
  ASSERT_LT(bomb.size(), 20'000U);
  const auto parts = error_of_unpacking(bomb, {.max_bytes = 9'999'999});
  EXPECT_EQ(parts.what, "the unpacked content of a gzip file is larger than allowed");
  EXPECT_EQ(parts.expected, "at most 9999999 bytes");
  EXPECT_EQ(unpacked(bomb, {.max_bytes = 10'000'000}).size(), 10'000'000U);
  EXPECT_EQ(error_of_unpacking(bomb, {.max_bytes = 0}).got, "more than 0 bytes");
  EXPECT_EQ(unpacked(packed(""), {.max_bytes = 0}), "");
}

TEST(Gzip, SeveralMembersAreOneContentAndOtherRestsAreRefused) {
  const std::string first = packed("first, ");
  EXPECT_EQ(unpacked(first + packed(std::string(100'000, 'b'))), "first, " + std::string(100'000, 'b'));
  EXPECT_EQ(unpacked(first + std::string(512, '\0')), "first, ");
  const auto parts = error_of_unpacking(first + "rest");
  EXPECT_EQ(parts.what, "a gzip file goes on after its end");
  EXPECT_TRUE(parts.got.starts_with("4 more bytes"));
  EXPECT_EQ(error_of_unpacking(first + first.substr(0, 12)).what, "a gzip file is cut short");
}

TEST_F(IdxFile, AMissingFileTellsBothPathsThatWereTried) {
  const auto parts = error_of([&] { (void)read_idx(folder_ / "images"); });
  EXPECT_EQ(parts.what, "an IDX file is missing");
  EXPECT_EQ(parts.where, (folder_ / "images").string());
  EXPECT_NE(parts.got.find((folder_ / "images.gz").string()), std::string::npos);
}

TEST_F(IdxFile, DamagedFilesAreNamedAsTheyWereFound) {
  write_file_atomically(folder_ / "cut.gz", packed(idx_of(8, {2}, "ab")).substr(0, 20));
  const auto parts = error_of([&] { (void)read_idx(folder_ / "cut"); });
  EXPECT_EQ(parts.what, "a gzip file is cut short");
  EXPECT_EQ(parts.where, (folder_ / "cut.gz").string());
  write_file_atomically(folder_ / "text.gz", packed("text, not numbers"));
  EXPECT_EQ(error_of([&] { (void)read_idx(folder_ / "text.gz"); }).what, "this is not an IDX file");
}

TEST_F(IdxFile, EveryTypeIsReadInTheByteOrderOfThisMachine) {
  const auto options = at::TensorOptions();
  EXPECT_TRUE(at::equal(read(idx_of(8, {2}, "\x01\xFF")), at::tensor({1, 255}, options.dtype(at::kByte))));
  EXPECT_TRUE(at::equal(read(idx_of(9, {2}, "\x01\xFF")), at::tensor({1, -1}, options.dtype(at::kChar))));
  EXPECT_TRUE(at::equal(read(idx_of(11, {2}, std::string("\x01\x02\xFF\xFE", 4))),
                        at::tensor({258, -2}, options.dtype(at::kShort))));
  EXPECT_TRUE(at::equal(read(idx_of(12, {2, 1}, big_endian(16909060) + big_endian(0xFFFFFFFE))),
                        at::tensor({16909060, -2}, options.dtype(at::kInt)).view({2, 1})));
  EXPECT_TRUE(at::equal(read(idx_of(13, {1, 1}, big_endian(std::bit_cast<std::uint32_t>(1.5F)))),
                        at::tensor({1.5}, options.dtype(at::kFloat)).view({1, 1})));
  const auto bits = std::bit_cast<std::uint64_t>(-2.25);
  const auto upper = big_endian(static_cast<std::uint32_t>(bits >> 32U));
  EXPECT_TRUE(at::equal(read(idx_of(14, {1}, upper + big_endian(static_cast<std::uint32_t>(bits)))),
                        at::tensor({-2.25}, options.dtype(at::kDouble))));
}

TEST_F(IdxFile, PlainAndGzippedAreToldApartByContent) {
  const std::string file = idx_of(8, {2, 2, 2}, "abcdefgh");
  write_file_atomically(folder_ / "plain.gz", file);
  write_file_atomically(folder_ / "packed", packed(file));
  const at::Tensor plain = read_idx(folder_ / "plain");
  EXPECT_EQ(plain.sizes(), (at::IntArrayRef{2, 2, 2}));
  EXPECT_TRUE(plain.is_contiguous());
  EXPECT_TRUE(at::equal(plain, read_idx(folder_ / "packed")));
  EXPECT_EQ(read(idx_of(8, {0, 28}, "")).sizes(), (at::IntArrayRef{0, 28}));
  EXPECT_EQ(read(idx_of(13, {0}, "")).scalar_type(), at::kFloat);
}

class FashionMnistFolder : public IdxFile {
 protected:
  void fill(std::uint32_t images, std::uint32_t labels, char label = 3) {
    for (const std::string part : {"train", "t10k"}) {
      write_file_atomically(folder_ / (part + "-images-idx3-ubyte"),
                            idx_of(8, {images, 28, 28}, std::string(images * 784U, '\xFF')));
      write_file_atomically(folder_ / (part + "-labels-idx1-ubyte.gz"),
                            packed(idx_of(8, {labels}, std::string(labels, label))));
    }
  }
  Error::Parts error() {
    return error_of([&] { (void)read_fashion_mnist(folder_); });
  }
};

TEST_F(FashionMnistFolder, AMissingFolderNamesThePackageThatBringsIt) {
  const auto parts = error_of([&] { (void)read_fashion_mnist(folder_ / "none"); });
  EXPECT_EQ(parts.what, "Fashion-MNIST is not on this machine");
  EXPECT_EQ(parts.where, (folder_ / "none").string());
  EXPECT_NE(parts.todo.find("apt-get install dataset-fashion-mnist"), std::string::npos);
  EXPECT_NE(parts.todo.find("ATHANOR_FASHION_MNIST"), std::string::npos);
}

TEST_F(FashionMnistFolder, MissingFilesAndFilesThatDoNotFitAreNamed) {
  EXPECT_EQ(error().got, "neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz is there");
  fill(3, 4);
  EXPECT_EQ(error().got, "3 images and 4 labels");
  fill(3, 3, 10);
  EXPECT_EQ(error().got, "10");
  EXPECT_EQ(error().where, (folder_ / "train-labels-idx1-ubyte").string() + ", row 0");
  fill(3, 3);
  write_file_atomically(folder_ / "train-images-idx3-ubyte", idx_of(8, {3, 2, 2}, std::string(12, 'x')));
  EXPECT_EQ(error().got, "Byte 3 x 2 x 2");
  write_file_atomically(folder_ / "train-images-idx3-ubyte", "PNG, or something else");
  EXPECT_EQ(error().what, "this is not an IDX file");
}

TEST_F(FashionMnistFolder, TheEnvironmentNamesTheFolder) {
  fill(3, 3);
  ASSERT_EQ(::setenv("ATHANOR_FASHION_MNIST", folder_.c_str(), 1), 0);
  const FashionMnist data = read_fashion_mnist();
  ::unsetenv("ATHANOR_FASHION_MNIST");
  EXPECT_EQ(data.train_images.sizes(), (at::IntArrayRef{3, 1, 28, 28}));
  EXPECT_EQ(data.train_images.min().item<float>(), 1.0F);
  EXPECT_TRUE(at::equal(data.test_labels, at::tensor({3, 3, 3}, at::TensorOptions().dtype(at::kLong))));
  EXPECT_EQ(fashion_mnist_folder(), "/usr/share/datasets/fashion-mnist");
}

TEST(FashionMnistData, TheRealFilesHaveTheirKnownContent) {
  if (!fs::exists(fashion_mnist_folder())) GTEST_SKIP() << "Fashion-MNIST is not installed";
  const FashionMnist data = read_fashion_mnist();
  EXPECT_EQ(data.train_images.sizes(), (at::IntArrayRef{60000, 1, 28, 28}));
  EXPECT_EQ(data.test_images.sizes(), (at::IntArrayRef{10000, 1, 28, 28}));
  EXPECT_EQ(data.train_images.scalar_type(), at::kFloat);
  EXPECT_EQ(data.train_labels.scalar_type(), at::kLong);
  EXPECT_EQ(data.train_labels.sum().item<int64_t>(), 270000);
  EXPECT_EQ(data.test_labels.sum().item<int64_t>(), 45000);
  EXPECT_NEAR(data.train_images.mean().item<double>(), 0.2860, 0.0001);
  EXPECT_EQ(data.train_images.min().item<float>(), 0.0F);
  EXPECT_EQ(data.train_images.max().item<float>(), 1.0F);
  const at::Tensor bytes = read_idx(fashion_mnist_folder() / "train-images-idx3-ubyte");
  EXPECT_TRUE(at::equal(data.train_images.squeeze(1), bytes.to(at::kFloat).div(255)));
}

}  // namespace
}  // namespace athanor::idx_test
