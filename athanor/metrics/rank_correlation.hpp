// SPDX-License-Identifier: Apache-2.0
// Correlation of ranks: Spearman's rho and Kendall's tau, with ties.
//
// For each output, then the mean over outputs. Both need all values, so memory grows with the data, by 16 bytes a pair,
// on the host (what lies on a device stays there until `compute`). Where one side is constant there is no correlation:
// NaN; NaN among the values gives NaN.
#pragma once

#include <string>
#include <vector>

#include "athanor/metrics/device_batches.hpp"
#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

namespace detail {

/// Pairs of predictions and targets as they came. A copy keeps its own.
class KeptPairs {
 public:
  explicit KeptPairs(const char* metric) : metric_(metric) {}

  /// (N) or (N, outputs…), the same shape for both, (N, 1) and (N) fit together; any real dtype. Does not wait for a
  /// device. Throws Error, and keeps nothing, for shapes that do not fit or another number of outputs than before.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  void merge(const KeptPairs& other);
  [[nodiscard]] bool empty() const noexcept { return outputs_ == 0 && waiting_.empty(); }
  void reset();
  void state(State& state);

  /// The mean of `correlate(predictions, targets)` over outputs. Waits for the device. Throws Error with fewer than two
  /// samples.
  [[nodiscard]] double mean_of(double (*correlate)(const std::vector<double>&, const std::vector<double>&)) const;

 private:
  void append(const at::Tensor& predictions, const at::Tensor& target);
  void settle();
  void check_outputs(int64_t outputs) const;

  const char* metric_;
  int64_t outputs_ = 0;              // 0 before the first batch
  std::vector<double> predictions_;  // (samples, outputs)
  std::vector<double> targets_;
  DeviceBatches waiting_;
};

}  // namespace detail

/// Pearson's correlation of the ranks, equal values sharing the mean of their ranks. Called "spearman".
class SpearmanCorrelation {
 public:
  [[nodiscard]] std::string name() const { return "spearman"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const SpearmanCorrelation& /*other*/) const noexcept { return true; }
  /// (N) or (N, outputs…), the same shape for both, (N, 1) and (N) fit together; any real dtype. Does not wait for a
  /// device. Throws Error, and keeps nothing, for shapes that do not fit or another number of outputs than before.
  void update(const at::Tensor& predictions, const at::Tensor& target) { pairs_.update(predictions, target); }
  /// Throws Error when the numbers of outputs differ.
  void merge(const SpearmanCorrelation& other) { pairs_.merge(other.pairs_); }
  /// Sorts. Waits for the device. Throws Error with fewer than two samples.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return pairs_.empty(); }
  [[nodiscard]] bool live() const noexcept { return false; }
  void reset() { pairs_.reset(); }
  void state(State& state) { pairs_.state(state); }

 private:
  detail::KeptPairs pairs_{"spearman"};
};

/// What ties are allowed to do to the greatest value.
enum class KendallVariant {
  b,  ///< Divided by what the ties of both sides leave possible (Kendall, 1945); what scipy and torchmetrics take.
  c,  ///< For sides with different numbers of distinct values (Stuart, 1953).
};

/// (concordant - discordant pairs) over what is possible, in O(N log N) after Knight (1966). Called "kendall".
class KendallCorrelation {
 public:
  explicit KendallCorrelation(KendallVariant variant = KendallVariant::b) : variant_(variant) {}
  [[nodiscard]] std::string name() const { return "kendall"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const KendallCorrelation& other) const noexcept { return variant_ == other.variant_; }
  /// As of SpearmanCorrelation.
  void update(const at::Tensor& predictions, const at::Tensor& target) { pairs_.update(predictions, target); }
  /// Throws Error when the variants or the numbers of outputs differ.
  void merge(const KendallCorrelation& other);
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return pairs_.empty(); }
  [[nodiscard]] bool live() const noexcept { return false; }
  void reset() { pairs_.reset(); }
  void state(State& state) { pairs_.state(state); }

 private:
  KendallVariant variant_;
  detail::KeptPairs pairs_{"kendall"};
};

/// For `.metrics = {athanor::metrics::spearman()}`.
[[nodiscard]] SpearmanCorrelation spearman();
[[nodiscard]] KendallCorrelation kendall(KendallVariant variant = KendallVariant::b);

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double spearman(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double kendall(const at::Tensor& predictions, const at::Tensor& target,
                             KendallVariant variant = KendallVariant::b);

}  // namespace athanor::metrics
