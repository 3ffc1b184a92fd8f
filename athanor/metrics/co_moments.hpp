// SPDX-License-Identifier: Apache-2.0
// Means, spreads and the common spread of two variables, merged without losing digits; shared by the metrics of
// regression, not for use outside.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "athanor/core/state.hpp"

namespace athanor::metrics::detail {

/// Of one output.
struct Moments {
  double mean_x = 0;
  double mean_y = 0;
  double xx = 0;  ///< Sum of squared distances of x from its mean.
  double yy = 0;
  double xy = 0;  ///< Sum of products of both distances.
};

/// Merged batch by batch after Chan, Golub and LeVeque (1979), which keeps the digits that sums of squares lose. Equal
/// values have exactly no spread. A copy accumulates on its own.
class CoMoments {
 public:
  /// What x is; y is the target.
  enum class X { prediction, residual /* target - prediction */ };

  CoMoments(const char* metric, X x) : metric_(metric), x_(x) {}
  CoMoments(const CoMoments& other);
  CoMoments& operator=(const CoMoments& other) { return *this = CoMoments(other); }
  CoMoments(CoMoments&&) noexcept = default;
  CoMoments& operator=(CoMoments&&) noexcept = default;

  /// (N) or (N, outputs…), the same shape for both, (N, 1) and (N) fit together; any real dtype. Does not wait for a
  /// device. Throws Error, and adds nothing, for shapes that do not fit or another number of outputs than before.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the numbers of outputs differ.
  void merge(const CoMoments& other);
  [[nodiscard]] bool empty() const noexcept { return samples_ == 0; }
  [[nodiscard]] int64_t samples() const noexcept { return samples_; }
  /// One for each output. Waits for the device. Throws Error with fewer than two samples, which have no variance.
  [[nodiscard]] std::vector<Moments> read() const;
  void reset();
  void state(State& state);

 private:
  void merge_moments(const at::Tensor& moments, int64_t samples);

  const char* metric_;
  X x_;
  int64_t samples_ = 0;
  at::Tensor moments_;  // (5, outputs), in the order of Moments; float64, float32 on devices without it
};

/// The mean of `value(moments)` over outputs.
template <class F>
[[nodiscard]] double mean_over_outputs(const std::vector<Moments>& outputs, F&& value) {
  double sum = 0;
  for (const Moments& moments : outputs) sum += value(moments);
  return sum / static_cast<double>(outputs.size());
}

}  // namespace athanor::metrics::detail
