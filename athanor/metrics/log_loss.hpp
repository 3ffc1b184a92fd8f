// SPDX-License-Identifier: Apache-2.0
// Log loss: how surprising the targets are to the predicted probabilities.
#pragma once

#include <optional>
#include <string>

#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/score_batch.hpp"
#include "athanor/metrics/sums.hpp"

namespace athanor::metrics {

struct LogLossOptions {
  /// How the tensors are read (classification.hpp has the list). Predictions must be floating.
  Kind kind = Kind::automatic;
  /// Predictions are logits. False: probabilities; others than 0 to 1 are refused, rows are not normalised, and what is
  /// nearer to 0 or 1 than the precision of the dtype counts as if it were so far, as in scikit-learn.
  bool from_logits = true;
  /// Targets with this value are left out. Unset: none.
  std::optional<int64_t> ignore_index = {};
  /// The number of classes or labels, when it is to be checked. Unset: dimension 1 of the predictions.
  std::optional<int64_t> classes = {};

  friend bool operator==(const LogLossOptions&, const LogLossOptions&) = default;
};

/// The mean of -log(probability of the true class) over all targets, natural logarithm, in float64: cross entropy; in
/// binary and multi-label binary cross entropy of each element. Called "log_loss".
class LogLoss {
 public:
  /// Throws Error for options out of their range.
  explicit LogLoss(LogLossOptions options = {});

  [[nodiscard]] std::string name() const { return "log_loss"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  [[nodiscard]] bool alike(const LogLoss& other) const noexcept { return options_ == other.options_; }
  /// Adds a batch. Does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit and (on the
  /// CPU) labels and probabilities out of range and NaN.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the options differ.
  void merge(const LogLoss& other);
  /// Waits for the device. Throws Error when nothing was seen, or nothing but ignored targets.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return sums_.empty(); }
  void reset() { sums_.reset(); }
  void state(State& state) { state.child("sums", sums_); }

 private:
  LogLossOptions options_;
  detail::ScoreRules rules_;
  detail::Sums sums_;  // of losses, of targets
};

/// For `.metrics = {athanor::metrics::log_loss()}`.
[[nodiscard]] LogLoss log_loss(LogLossOptions options = {});

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double log_loss(const at::Tensor& predictions, const at::Tensor& target, LogLossOptions options = {});

}  // namespace athanor::metrics
