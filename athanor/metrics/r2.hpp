// SPDX-License-Identifier: Apache-2.0
// R², the coefficient of determination: the part of the targets' variance that the predictions explain.
#pragma once

#include <string>

#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// 1 - Σ (target - prediction)² / Σ (target - mean of the targets)², for each output, then the mean over outputs. 1 is
/// perfect, 0 is what the constant mean reaches, below 0 is worse. Called "r2".
///
/// The spread of the targets is merged batch by batch after Chan, Golub and LeVeque (1979), which keeps its digits
/// where sums of squares lose them. An output whose targets are all equal counts 1 when it was met exactly, else 0, as
/// in scikit-learn.
class R2 {
 public:
  R2() = default;
  /// A copy accumulates on its own.
  R2(const R2& other);
  R2& operator=(const R2& other) { return *this = R2(other); }
  R2(R2&&) noexcept = default;
  R2& operator=(R2&&) noexcept = default;

  [[nodiscard]] std::string name() const { return "r2"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }

  /// (N) or (N, outputs…), the same shape for both, (N, 1) and (N) fit together; any real dtype. Does not wait for a
  /// device. Throws Error, and adds nothing, for shapes that do not fit or another number of outputs than before.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the numbers of outputs differ.
  void merge(const R2& other);
  /// Waits for the device. Throws Error with fewer than two samples, which have no variance.
  [[nodiscard]] double compute() const;
  void reset();
  void state(State& state);

 private:
  void merge_moments(const at::Tensor& moments, int64_t samples);

  int64_t samples_ = 0;
  // (3, outputs), float64, float32 on devices without it: the targets' mean, their squared distances from it, and the
  // squared residuals.
  at::Tensor moments_;
};

/// For `.metrics = {athanor::metrics::r2()}`.
[[nodiscard]] R2 r2();

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double r2(const at::Tensor& predictions, const at::Tensor& target);

}  // namespace athanor::metrics
