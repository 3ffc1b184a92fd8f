// SPDX-License-Identifier: Apache-2.0
// Loops over the elements of tensors; shared by the metrics of regression, not for use outside.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace athanor::metrics::detail {

/// Throws Error unless both have one shape, up to dimensions of size 1 at the end, one device, and real numbers.
void check_pair(const at::Tensor& predictions, const at::Tensor& target, const char* metric);

/// float64, or float32 on a device without it.
[[nodiscard]] at::ScalarType widest_on(at::Device device);

/// Calls `function(const T* predictions, const T* target, count)` with float or double, for tensors on the CPU.
/// Contiguous tensors of one of these dtypes are read where they lie.
template <class F>
auto with_pair(const at::Tensor& predictions, const at::Tensor& target, F&& function) {
  const auto left = predictions.expect_contiguous();
  const auto right = target.expect_contiguous();
  if (left->scalar_type() == at::kFloat && right->scalar_type() == at::kFloat) {
    return function(left->const_data_ptr<float>(), right->const_data_ptr<float>(), left->numel());
  }
  const at::Tensor wide_left = left->to(at::kDouble);
  const at::Tensor wide_right = right->to(at::kDouble);
  return function(wide_left.const_data_ptr<double>(), wide_right.const_data_ptr<double>(), left->numel());
}

/// The sum of `term(i)`, i from 0 to count - 1, in double. Four running sums, because a single one waits for itself.
template <class F>
double sum(int64_t count, F&& term) {
  std::array<double, 4> sums{};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (int64_t lane = 0; lane < 4; ++lane) sums[static_cast<size_t>(lane)] += term(i + lane);
  }
  for (; i < count; ++i) sums[0] += term(i);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace athanor::metrics::detail
