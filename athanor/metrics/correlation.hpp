// SPDX-License-Identifier: Apache-2.0
// Correlation of predictions and targets: Pearson's, and Lin's concordance, which also asks for the same values.
//
// For each output, then the mean over outputs. Where one side is constant there is no correlation: NaN. Means and
// spreads are merged batch by batch without losing digits; memory does not grow. rank_correlation.hpp has those of
// ranks.
#pragma once

#include <string>

#include "athanor/metrics/co_moments.hpp"
#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// The covariance over the product of standard deviations, -1 to 1. Called "pearson".
class PearsonCorrelation {
 public:
  [[nodiscard]] std::string name() const { return "pearson"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const PearsonCorrelation& /*other*/) const noexcept { return true; }
  /// (N) or (N, outputs…), the same shape for both, (N, 1) and (N) fit together; any real dtype. Does not wait for a
  /// device. Throws Error, and adds nothing, for shapes that do not fit or another number of outputs than before.
  void update(const at::Tensor& predictions, const at::Tensor& target) { moments_.update(predictions, target); }
  /// Throws Error when the numbers of outputs differ.
  void merge(const PearsonCorrelation& other) { moments_.merge(other.moments_); }
  /// Waits for the device. Throws Error with fewer than two samples, which have no variance.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return moments_.empty(); }
  void reset() { moments_.reset(); }
  void state(State& state) { moments_.state(state); }

 private:
  detail::CoMoments moments_{"pearson", detail::CoMoments::X::prediction};
};

/// 2 covariance / (variance of predictions + variance of targets + (difference of means)²), after Lin (1989), with
/// variances over N - 1, as in torchmetrics. NaN when both sides are one and the same constant. Called "concordance".
class ConcordanceCorrelation {
 public:
  [[nodiscard]] std::string name() const { return "concordance"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const ConcordanceCorrelation& /*other*/) const noexcept { return true; }
  /// As of PearsonCorrelation.
  void update(const at::Tensor& predictions, const at::Tensor& target) { moments_.update(predictions, target); }
  void merge(const ConcordanceCorrelation& other) { moments_.merge(other.moments_); }
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return moments_.empty(); }
  void reset() { moments_.reset(); }
  void state(State& state) { moments_.state(state); }

 private:
  detail::CoMoments moments_{"concordance", detail::CoMoments::X::prediction};
};

/// For `.metrics = {athanor::metrics::pearson()}`.
[[nodiscard]] PearsonCorrelation pearson();
[[nodiscard]] ConcordanceCorrelation concordance();

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double pearson(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double concordance(const at::Tensor& predictions, const at::Tensor& target);

}  // namespace athanor::metrics
