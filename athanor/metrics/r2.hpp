// SPDX-License-Identifier: Apache-2.0
// R², the coefficient of determination, and explained variance: the part of the targets' variance that the predictions
// explain.
#pragma once

#include <string>

#include "athanor/metrics/co_moments.hpp"
#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// 1 - Σ (target - prediction)² / Σ (target - mean of the targets)², for each output, then the mean over outputs. 1 is
/// perfect, 0 is what the constant mean reaches, below 0 is worse. Called "r2".
///
/// The spreads are merged batch by batch after Chan, Golub and LeVeque (1979), which keeps their digits where sums of
/// squares lose them. An output whose targets are all equal counts 1 when it was met exactly, else 0, as in
/// scikit-learn.
class R2 {
 public:
  [[nodiscard]] std::string name() const { return "r2"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const R2& /*other*/) const noexcept { return true; }

  /// (N) or (N, outputs…), the same shape for both, (N, 1) and (N) fit together; any real dtype. Does not wait for a
  /// device. Throws Error, and adds nothing, for shapes that do not fit or another number of outputs than before.
  void update(const at::Tensor& predictions, const at::Tensor& target) { moments_.update(predictions, target); }
  /// Throws Error when the numbers of outputs differ.
  void merge(const R2& other) { moments_.merge(other.moments_); }
  /// Waits for the device. Throws Error with fewer than two samples, which have no variance.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return moments_.empty(); }
  void reset() { moments_.reset(); }
  void state(State& state) { moments_.state(state); }

 private:
  detail::CoMoments moments_{"r2", detail::CoMoments::X::residual};
};

/// 1 - variance of (target - prediction) / variance of the targets, for each output, then the mean over outputs: R²
/// without the blame for a constant offset. Equal targets as in R2. Called "explained_variance".
class ExplainedVariance {
 public:
  [[nodiscard]] std::string name() const { return "explained_variance"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const ExplainedVariance& /*other*/) const noexcept { return true; }
  /// As of R2.
  void update(const at::Tensor& predictions, const at::Tensor& target) { moments_.update(predictions, target); }
  void merge(const ExplainedVariance& other) { moments_.merge(other.moments_); }
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return moments_.empty(); }
  void reset() { moments_.reset(); }
  void state(State& state) { moments_.state(state); }

 private:
  detail::CoMoments moments_{"explained variance", detail::CoMoments::X::residual};
};

/// For `.metrics = {athanor::metrics::r2()}`.
[[nodiscard]] R2 r2();
[[nodiscard]] ExplainedVariance explained_variance();

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double r2(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double explained_variance(const at::Tensor& predictions, const at::Tensor& target);

}  // namespace athanor::metrics
