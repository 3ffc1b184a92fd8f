// SPDX-License-Identifier: Apache-2.0
// athanor convert: formats, types and shards; opened by LibTorch and by the real Python.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/checkpoint/sharded_safetensors.hpp"
#include "athanor/checkpoint/torch_file.hpp"
#include "athanor/core/random.hpp"
#include "tests/apps/command.hpp"

namespace athanor::testing::convert_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Each NaN counts as the same: LibTorch gives it other bits in its vectorised loops than for a single number.
at::Tensor without_nan(const at::Tensor& tensor) {
  return at::isFloatingType(tensor.scalar_type()) ? tensor.masked_fill(tensor.isnan(), 0.5) : tensor;
}

bool equal_bits(const at::Tensor& left, const at::Tensor& right) {
  const at::Tensor a = without_nan(left).contiguous(), b = without_nan(right).contiguous();
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

/// Halves, quarters and neighbours of every kind of rounding, subnormal numbers, the largest, infinity and NaN.
at::Tensor awkward_numbers() {
  std::vector<double> values{0,
                             -0.0,
                             1,
                             -1,
                             65504,
                             -65504,
                             INFINITY,
                             -INFINITY,
                             NAN,
                             5.960464477539063e-08,
                             2.98e-08,
                             2.980232238769531e-08,
                             2.9802322387695e-08,
                             8.94069671630859e-08,
                             6.1e-05,
                             6.103515625e-05,
                             6.097555e-05,
                             1e-40,
                             1e-300};
  Philox random(3);
  for (int i = 0; i < 4000; ++i) {
    const double scale = std::ldexp(1.0, static_cast<int>(random.below(46)) - 30);
    double value = random.normal() * scale;
    if (i % 3 == 0) value = std::ldexp(std::round(std::ldexp(value, 12)), -12) + std::ldexp(1.0, -13);  // halfway
    if (std::abs(value) < 65000) values.push_back(value);
  }
  at::Tensor tensor = at::zeros({static_cast<int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<double>());
  return tensor;
}

class Converting : public ::testing::Test {
 protected:
  void SetUp() override {
    const at::Tensor numbers = awkward_numbers();
    const at::Tensor grid = at::arange(60, at::kFloat).reshape({3, 4, 5});
    weights_ = {{"double", numbers},
                {"float", numbers.to(at::kFloat)},
                {"half", numbers.to(at::kFloat).to(at::kHalf)},
                {"bfloat", numbers.slice(0, 6).to(at::kFloat).to(at::kBFloat16)},  // without 65504, which becomes 65536
                {"transposed", grid.permute({2, 0, 1})},
                {"sliced", grid.slice(2, 1, 5, 2)},
                {"expanded", at::arange(3, at::kFloat).unsqueeze(1).expand({3, 4})},
                {"integers", at::arange(-3, 4, at::kLong)},
                {"flags", at::tensor({1, 0, 1}, at::kInt).to(at::kBool)},
                {"alone", at::full({}, 2.5, at::kFloat)},
                {"none", at::zeros({2, 0, 3}, at::kFloat)}};
    save();
  }
  void save() const {
    Tree::Dictionary entries;
    for (const auto& [name, tensor] : weights_) entries.emplace_back(name, tensor);
    save_torch_file(at("source.pt"), Tree(std::move(entries)));
  }
  [[nodiscard]] fs::path at(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] Finished convert(const std::string& from, const std::string& to, const std::string& more = {}) const {
    return run_command("convert " + at(from).string() + " " + at(to).string() + " " + more);
  }
  /// Python's word; true where it has no torch or safetensors.
  [[nodiscard]] ::testing::AssertionResult python_agrees(const std::string& converted,
                                                         const std::string& dtype = {}) const {
    const Finished peer = run_process(ATHANOR_TEST_PYTHON " " ATHANOR_SOURCE_DIR "/tests/apps/convert_peer.py " +
                                      at("source.pt").string() + " " + at(converted).string() + " " + dtype);
    RecordProperty("reference", peer.status == 77 ? "LibTorch" : "Python");
    if (peer.status == 77) return ::testing::AssertionSuccess();
    if (peer.status == 0 && peer.output == std::to_string(weights_.size()) + "\n") return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << peer.output << peer.errors;
  }

  TemporaryFolder folder_;
  NamedTensors weights_;
};

TEST_F(Converting, TorchToSafetensorsAndBackIsEqualBitByBit) {
  ASSERT_EQ(convert("source.pt", "a.safetensors").status, 0) << convert("source.pt", "b.safetensors").errors;
  const SafetensorsFile file(at("a.safetensors"));
  for (const auto& [name, tensor] : weights_) EXPECT_TRUE(equal_bits(file.tensor(name), tensor)) << name;
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_TRUE(python_agrees("a.safetensors"));
  const Finished back = convert("a.safetensors", "back.pt");
  ASSERT_EQ(back.status, 0) << back.errors;
  EXPECT_THAT(back.output, HasSubstr("11 tensors"));
  const Tree tree = load_torch_file(at("back.pt"));
  for (const auto& [name, tensor] : weights_) EXPECT_TRUE(equal_bits(tree[name].tensor(), tensor)) << name;
  EXPECT_TRUE(python_agrees("back.pt"));
}

TEST_F(Converting, TypesAreRoundedAsLibTorchRoundsThem) {
  for (const auto& [name, type] : {std::pair("float64", at::kDouble), std::pair("float32", at::kFloat),
                                   std::pair("float16", at::kHalf), std::pair("bfloat16", at::kBFloat16)}) {
    const std::string file = std::string(name) + ".safetensors";
    const Finished converted = convert("source.pt", file, std::string("--dtype ") + name);
    ASSERT_EQ(converted.status, 0) << converted.errors;
    const SafetensorsFile read(at(file));
    for (const auto& [tensor_name, tensor] : weights_) {
      const bool floating = at::isFloatingType(tensor.scalar_type());
      EXPECT_TRUE(equal_bits(read.tensor(tensor_name), floating ? tensor.to(type) : tensor)) << name << tensor_name;
    }
  }
  EXPECT_TRUE(python_agrees("bfloat16.safetensors", "bfloat16"));
}

TEST_F(Converting, ANumberThatTheTypeCantHoldIsRefused) {
  weights_ = {{"small", at::full({3}, 1.0, at::kFloat)}, {"large", at::full({2}, 65520.0, at::kFloat)}};
  save();
  const Finished converted = convert("source.pt", "a.safetensors", "--dtype float16");
  expect_refused(converted, "tensor 'large'; got 2 values that would become infinite");
  EXPECT_FALSE(fs::exists(at("a.safetensors"))) << "as a whole or not at all";
  EXPECT_EQ(convert("source.pt", "a.safetensors", "--dtype bfloat16").status, 0);
}

TEST_F(Converting, IntoSeveralFilesBySize) {
  const Finished converted = convert("source.pt", "sharded", "--max-shard 20kB");
  ASSERT_EQ(converted.status, 0) << converted.errors;
  const ShardedSafetensors files(at("sharded"));
  EXPECT_GT(files.files().size(), 2u);
  for (const auto& [name, tensor] : weights_) EXPECT_TRUE(equal_bits(files.tensor(name), tensor)) << name;
  for (const SafetensorsFile& file : files.files()) {
    uint64_t bytes = 0;
    for (const TensorEntry& entry : file.entries()) bytes += entry.end - entry.begin;
    EXPECT_TRUE(bytes <= 20'000 || file.entries().size() == 1) << file.path();
  }
  EXPECT_TRUE(python_agrees("sharded"));
  ASSERT_EQ(convert("sharded", "whole.pt").status, 0);
  const Tree tree = load_torch_file(at("whole.pt"));
  for (const auto& [name, tensor] : weights_) EXPECT_TRUE(equal_bits(tree[name].tensor(), tensor)) << name;
}

TEST_F(Converting, APartOfACheckpoint) {
  save_torch_file(at("full.pt"), {{"model", {{"w", at::arange(3, at::kFloat)}}}, {"epoch", 3}});
  expect_refused(convert("full.pt", "a.safetensors"), "got epoch");
  ASSERT_EQ(convert("full.pt", "a.safetensors", "--part model").status, 0);
  EXPECT_EQ(SafetensorsFile(at("a.safetensors")).names(), std::vector<std::string>{"w"});
}

TEST_F(Converting, NothingIsWrittenOverUnlessAsked) {
  write_text(at("a.safetensors"), "mine");
  expect_refused(convert("source.pt", "a.safetensors"), "--force");
  EXPECT_EQ(text_of_file(at("a.safetensors")), "mine");
  EXPECT_EQ(convert("source.pt", "a.safetensors", "--force").status, 0);
  EXPECT_EQ(convert("source.pt", "source.pt", "--force --dtype float32").status, 0) << "onto itself";
  EXPECT_EQ(load_torch_file(at("source.pt"))["double"].tensor().scalar_type(), at::kFloat);
  fs::create_directories(at("folder"));
  write_text(at("folder/mine"), "mine");
  expect_refused(convert("source.pt", "folder", "--max-shard 1kB"), "--force");
}

TEST_F(Converting, WhatCantBeConvertedIsSaid) {
  expect_refused(convert("source.pt", "a.onnx"), ".safetensors, .pt");
  expect_refused(convert("source.pt", "a.pt", "--dtype int8"), "float64, float32, float16 or bfloat16");
  expect_refused(convert("missing.pt", "a.pt"), "missing.pt");
  const std::string recorded = ATHANOR_SOURCE_DIR "/tests/checkpoint/recorded/";
  expect_refused(run_command("convert " + recorded + "refused_system.pt " + at("a.safetensors").string()), "system");
  EXPECT_FALSE(fs::exists(at("a.safetensors")));
}

}  // namespace
}  // namespace athanor::testing::convert_test
