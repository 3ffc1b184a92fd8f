// SPDX-License-Identifier: Apache-2.0
// Calibration error: whether of the predictions made with 80 percent confidence 80 percent are right.
#pragma once

#include <optional>
#include <string>

#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/score_batch.hpp"
#include "athanor/metrics/sums.hpp"

namespace athanor::metrics {

/// How the gaps of the bins become one number.
enum class CalibrationNorm {
  mean,         ///< Mean, weighted by samples: the expected calibration error (Guo and others, 2017).
  root_square,  ///< Root of the weighted mean of squares.
  maximum,      ///< The greatest one.
};

struct CalibrationErrorOptions {
  /// How the tensors are read (classification.hpp has the list). Predictions must be floating.
  Kind kind = Kind::automatic;
  /// Equally wide bins of confidence from 0 to 1, each without its upper end. A confidence of exactly 1 has a bin of
  /// its own, as in torchmetrics.
  int64_t bins = 15;
  CalibrationNorm norm = CalibrationNorm::mean;
  /// Predictions are logits. False: probabilities; others than 0 to 1 are refused.
  bool from_logits = true;
  /// Targets with this value are left out. Unset: none.
  std::optional<int64_t> ignore_index = {};
  /// The number of classes or labels, when it is to be checked. Unset: dimension 1 of the predictions.
  std::optional<int64_t> classes = {};

  friend bool operator==(const CalibrationErrorOptions&, const CalibrationErrorOptions&) = default;
};

/// In each bin of confidence the distance of the mean confidence from the part that is right. In multi-class the
/// confidence is the greatest probability of the row, right when its class is true; in binary and multi-label it is the
/// probability of 1, and the part that is 1. Called "calibration_error".
class CalibrationError {
 public:
  /// Throws Error for options out of their range.
  explicit CalibrationError(CalibrationErrorOptions options = {});

  [[nodiscard]] std::string name() const { return "calibration_error"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  [[nodiscard]] bool alike(const CalibrationError& other) const noexcept { return options_ == other.options_; }
  /// Adds a batch. Does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit and (on the
  /// CPU) labels and probabilities out of range and NaN.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the options differ.
  void merge(const CalibrationError& other);
  /// Waits for the device. Throws Error when nothing was seen, or nothing but ignored targets.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return sums_.empty(); }
  void reset() { sums_.reset(); }
  void state(State& state) { state.child("sums", sums_); }

 private:
  CalibrationErrorOptions options_;
  detail::ScoreRules rules_;
  detail::Sums sums_;  // (3, bins + 1): samples, their confidence, how many are right
};

/// For `.metrics = {athanor::metrics::calibration_error()}`.
[[nodiscard]] CalibrationError calibration_error(CalibrationErrorOptions options = {});

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double calibration_error(const at::Tensor& predictions, const at::Tensor& target,
                                       CalibrationErrorOptions options = {});

}  // namespace athanor::metrics
