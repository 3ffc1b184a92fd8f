// SPDX-License-Identifier: Apache-2.0
// Replaced kernels: results, gradients, formats and errors equal to LibTorch's, nothing printed, others' overrides
// kept.
#include "athanor/core/kernels.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/max_pool2d_with_indices.h>
#include <ATen/ops/max_pool2d_with_indices_cpu_dispatch.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "athanor/core/host.hpp"

namespace athanor::kernels_test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

struct Arguments {
  std::vector<int64_t> kernel = {2, 2}, stride = {}, padding = {0}, dilation = {1};
  bool ceil_mode = false;
};

using Pooled = std::tuple<at::Tensor, at::Tensor>;

Pooled pool(const at::Tensor& input, const Arguments& with = {}) {
  return at::max_pool2d_with_indices(input, with.kernel, with.stride, with.padding, with.dilation, with.ceil_mode);
}

/// LibTorch's kernel, whatever the dispatcher holds.
Pooled libtorchs_pool(const at::Tensor& input, const Arguments& with = {}) {
  return at::cpu::max_pool2d_with_indices(input, with.kernel, with.stride, with.padding, with.dilation, with.ceil_mode);
}

/// Which of the two answers.
bool ours_in_use() {
  const uint64_t before = FastKernels::calls();
  pool(at::randn({1, 1, 4, 4}));
  return FastKernels::calls() > before;
}

void expect_same_bits(const at::Tensor& a, const at::Tensor& b) {
  ASSERT_EQ(a.scalar_type(), b.scalar_type());
  ASSERT_EQ(a.sizes(), b.sizes());
  ASSERT_EQ(a.strides(), b.strides());
  ASSERT_EQ(a.suggest_memory_format(), b.suggest_memory_format());
  ASSERT_TRUE(a.is_non_overlapping_and_dense() && b.is_non_overlapping_and_dense());
  if (a.numel() == 0) return;
  ASSERT_EQ(std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()), 0);
}

/// Once with LibTorch's kernel and once with ours.
void expect_same_results(const at::Tensor& input, const Arguments& with = {}) {
  const auto [values, indices] = libtorchs_pool(input, with);
  const FastKernels kernels;
  const auto [fast_values, fast_indices] = pool(input, with);
  expect_same_bits(values, fast_values);
  expect_same_bits(indices, fast_indices);
}

at::Tensor with_special_values(const at::Tensor& tensor, std::mt19937& random) {
  const float special[] = {0.0F,
                           -0.0F,
                           std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN(),
                           -std::numeric_limits<float>::quiet_NaN()};
  float* values = tensor.mutable_data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    if (random() % 2 == 0) values[i] = special[random() % std::size(special)];
  }
  return tensor;
}

TEST(FastKernelsTest, RandomShapesAndValuesGiveTheSameBits) {
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::vector<int64_t> shape;
    if (random() % 4 != 0) shape.push_back(random() % 4);  // a batch, which may be empty
    shape.push_back(1 + random() % 6);
    shape.push_back(2 + random() % 40);
    shape.push_back(2 + random() % 40);
    at::Tensor input = round % 3 == 0 ? at::randint(3, shape, at::kFloat) : at::randn(shape);
    if (round % 3 == 1) input = with_special_values(input, random);
    SCOPED_TRACE(::testing::PrintToString(shape));
    expect_same_results(input);
    if (HasFatalFailure()) return;
  }
}

TEST(FastKernelsTest, LargeBatchesOnSeveralThreadsGiveTheSameBits) {
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    expect_same_results(at::randn({64, 32, 28, 28}));
    expect_same_results(at::randn({64, 64, 14, 14}));
    expect_same_results(at::randn({1, 1, 513, 511}));
  }
  at::set_num_threads(before);
}

TEST(FastKernelsTest, EveryWayToSayTheSameWindow) {
  const at::Tensor input = at::randn({2, 3, 9, 10});
  expect_same_results(input, {.kernel = {2}});
  expect_same_results(input, {.kernel = {2}, .stride = {2}});
  expect_same_results(input, {.kernel = {2, 2}, .stride = {2, 2}, .padding = {0, 0}, .dilation = {1, 1}});
  expect_same_results(at::randn({2, 3, 8, 10}), {.ceil_mode = true});
}

TEST(FastKernelsTest, OtherWindowsAreLibTorchs) {
  const at::Tensor input = at::randn({2, 3, 11, 13});
  expect_same_results(input, {.ceil_mode = true});
  expect_same_results(input, {.kernel = {3, 3}});
  expect_same_results(input, {.kernel = {2, 3}});
  expect_same_results(input, {.kernel = {3, 2}, .stride = {2, 2}});
  expect_same_results(input, {.kernel = {2, 2}, .stride = {1, 1}});
  expect_same_results(input, {.kernel = {2, 2}, .stride = {2, 1}});
  expect_same_results(input, {.kernel = {2, 2}, .stride = {3, 2}});
  expect_same_results(input, {.kernel = {2, 2}, .padding = {1, 0}});
  expect_same_results(input, {.kernel = {2, 2}, .padding = {1, 1}});
  expect_same_results(input, {.kernel = {2, 2}, .dilation = {2, 1}});
  expect_same_results(input, {.kernel = {2, 2}, .stride = {2, 2}, .dilation = {2, 2}});
}

TEST(FastKernelsTest, OtherTensorsAreLibTorchs) {
  const at::Tensor input = at::randn({2, 4, 12, 14});
  expect_same_results(input.contiguous(at::MemoryFormat::ChannelsLast));
  expect_same_results(input.transpose(2, 3));
  expect_same_results(input.transpose(0, 1));
  expect_same_results(input.slice(3, 1, 12));
  expect_same_results(input.slice(3, 0, 14, 2));
  expect_same_results(input.select(0, 0).transpose(0, 2));
  expect_same_results(input.select(0, 0).unsqueeze(0).expand({3, 4, 12, 14}));
  expect_same_results(input.to(at::kDouble));
  expect_same_results(input.to(at::kHalf));
  expect_same_results(input.to(at::kBFloat16));
  expect_same_results((input * 100).to(at::kLong));
  expect_same_results((input * 100).to(at::kInt));
  // Strides that fit both formats.
  expect_same_results(at::randn({2, 1, 12, 14}));
  expect_same_results(at::randn({2, 1, 12, 14}).contiguous(at::MemoryFormat::ChannelsLast));
  expect_same_results(at::randn({3, 5, 2, 2}));
}

TEST(FastKernelsTest, OutputsThatAreGivenAreFilled) {
  const at::Tensor input = at::randn({2, 3, 8, 10});
  const auto [values, indices] = libtorchs_pool(input);
  const FastKernels kernels;
  for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    at::Tensor to = at::empty({2, 3, 4, 5}).contiguous(format);
    at::Tensor where = at::empty({2, 3, 4, 5}, at::kLong).contiguous(format);
    at::max_pool2d_with_indices_out(to, where, input, {2, 2});
    expect_same_bits(to.contiguous(), values);
    expect_same_bits(where.contiguous(), indices);
  }
}

std::string error_of_pool(const at::Tensor& input, const Arguments& with) {
  try {
    pool(input, with);
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return {};
}

TEST(FastKernelsTest, ErrorsAreLibTorchs) {
  const std::vector<std::pair<at::Tensor, Arguments>> wrong = {{at::randn({4, 4}), {}},
                                                               {at::randn({1, 1, 1, 4, 4}), {}},
                                                               {at::randn({2, 3, 1, 4}), {}},
                                                               {at::randn({2, 3, 4, 1}), {}},
                                                               {at::randn({2, 0, 4, 4}), {}},
                                                               {at::randn({2, 3, 0, 4}), {}},
                                                               {at::randn({0, 4, 4}), {}},
                                                               {at::randn({2, 3, 4, 4}), {.kernel = {2, 2, 2}}},
                                                               {at::randn({2, 3, 4, 4}), {.padding = {2}}},
                                                               {at::randn({2, 3, 4, 4}), {.stride = {0}}}};
  for (const auto& [input, with] : wrong) {
    const std::string expected = error_of_pool(input, with);
    EXPECT_FALSE(expected.empty()) << input.sizes();
    const FastKernels kernels;
    EXPECT_EQ(error_of_pool(input, with), expected);
  }
}

at::Tensor gradient(const at::Tensor& input, const at::Tensor& weights) {
  const at::Tensor leaf = input.detach().clone().requires_grad_();
  (at::max_pool2d(leaf, {2, 2}) * weights).sum().backward();
  return leaf.grad();
}

TEST(FastKernelsTest, GradientsHaveTheSameBits) {
  std::mt19937 random(4);
  for (int round = 0; round < 300; ++round) {
    const int64_t height = 2 + random() % 30, width = 2 + random() % 30;
    at::Tensor input =
        round % 2 == 0 ? at::randn({2, 3, height, width}) : at::randint(3, {2, 3, height, width}, at::kFloat);
    if (round % 3 == 0) input = with_special_values(input, random);
    const at::Tensor weights = at::randn({2, 3, height / 2, width / 2});
    const at::Tensor expected = gradient(input, weights);
    const FastKernels kernels;
    expect_same_bits(gradient(input, weights), expected);
    if (HasFatalFailure()) return;
  }
}

TEST(FastKernelsTest, AutogradSeesWhatItSawBefore) {
  const FastKernels kernels;
  const at::Tensor input = at::randn({1, 2, 8, 8}).requires_grad_();
  {
    const auto [values, indices] = pool(input);
    EXPECT_TRUE(values.requires_grad());
    ASSERT_NE(values.grad_fn(), nullptr);
    EXPECT_FALSE(indices.requires_grad());
    EXPECT_FALSE(values.is_inference());
  }
  {
    const at::NoGradGuard no_grad;
    EXPECT_FALSE(std::get<0>(pool(input)).requires_grad());
  }
  {
    const c10::InferenceMode inference;
    const auto [values, indices] = pool(at::randn({1, 2, 8, 8}));
    EXPECT_TRUE(values.is_inference());
    EXPECT_TRUE(indices.is_inference());
  }
}

TEST(FastKernelsTest, WhenTheLastOneIsGoneLibTorchsKernelAnswers) {
  EXPECT_FALSE(ours_in_use());
  for (int round = 0; round < 2; ++round) {
    std::optional<FastKernels> outer(std::in_place), inner(std::in_place);
    EXPECT_TRUE(outer->in_use());
    EXPECT_TRUE(ours_in_use());
    outer.reset();
    EXPECT_TRUE(ours_in_use());
    inner.reset();
    EXPECT_FALSE(ours_in_use());
  }
}

TEST(FastKernelsTest, SwitchingWhileOtherThreadsPoolChangesNoResult) {
  const at::Tensor input = at::randn({4, 8, 28, 28});
  const auto [values, indices] = libtorchs_pool(input);
  { const FastKernels first; }
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> pooling, switching;
  for (int i = 0; i < 2; ++i) {
    switching.emplace_back([&] {
      while (!stop) {
        const FastKernels kernels;
        std::this_thread::yield();
      }
    });
    pooling.emplace_back([&] {
      for (int round = 0; round < 300; ++round) {
        const auto [other_values, other_indices] = pool(input);
        if (!other_values.equal(values) || !other_indices.equal(indices)) ++wrong;
      }
    });
  }
  for (std::thread& thread : pooling) thread.join();
  stop = true;
  for (std::thread& thread : switching) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(HostKernelsTest, TheGuardSwitchesThemOnForItsLifeAndSaysSo) {
  const std::string note = "faster max pooling on the CPU, same results, until the end of the call";
  {
    const HostGuard host(HostOptions{});
    EXPECT_THAT(host.notes(), Contains(note));
    EXPECT_TRUE(ours_in_use());
    const HostGuard inner(HostOptions::untouched());
    EXPECT_TRUE(ours_in_use());
  }
  EXPECT_FALSE(ours_in_use());

  const HostGuard host(HostOptions::untouched());
  EXPECT_THAT(host.notes(), Not(Contains(HasSubstr("pooling"))));
  EXPECT_FALSE(ours_in_use());
}

/// Each of these runs in a process of its own, because the first registration of a process is what matters.
class FastKernelsDeathTest : public ::testing::Test {
 protected:
  FastKernelsDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

std::atomic<int> calls_of_other = 0;

Pooled other_pool(const at::Tensor& input, at::IntArrayRef kernel, at::IntArrayRef stride, at::IntArrayRef padding,
                  at::IntArrayRef dilation, bool ceil_mode) {
  ++calls_of_other;
  return at::cpu::max_pool2d_with_indices(input, kernel, stride, padding, dilation, ceil_mode);
}

torch::Library other_library() {
  torch::Library library(torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__);
  library.impl("max_pool2d_with_indices", TORCH_FN(other_pool));
  return library;
}

TEST_F(FastKernelsDeathTest, NothingIsPrinted) {
  const auto child = [] {
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    {
      const FastKernels kernels;
      pool(at::randn({2, 2, 8, 8}));
    }
    pool(at::randn({2, 2, 8, 8}));
    const std::string out = ::testing::internal::GetCapturedStdout(), err = ::testing::internal::GetCapturedStderr();
    std::exit(out.empty() && err.empty() ? 0 : 1);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "");
}

TEST_F(FastKernelsDeathTest, AnEarlierOverrideIsLeftAlone) {
  const auto child = [] {
    const torch::Library other = other_library();
    bool right = true;
    {
      const FastKernels kernels;
      const HostGuard host(HostOptions{});
      pool(at::randn({1, 1, 4, 4}));
      right = !kernels.in_use() && calls_of_other == 1;
      for (const std::string& note : host.notes()) right = right && note.find("pooling") == std::string::npos;
    }
    std::exit(right ? 0 : 1);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "");
}

TEST_F(FastKernelsDeathTest, ALaterOverrideTakesPrecedenceUntilItGoes) {
  const auto child = [] {
    const FastKernels kernels;
    bool right = ours_in_use();
    {
      const torch::Library other = other_library();
      pool(at::randn({1, 1, 4, 4}));
      right = right && calls_of_other == 1 && !ours_in_use() && calls_of_other == 2;
    }
    right = right && ours_in_use();
    std::exit(right ? 0 : 1);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace athanor::kernels_test
