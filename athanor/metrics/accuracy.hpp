// SPDX-License-Identifier: Apache-2.0
// Accuracy: the part of the predictions that are right; binary, multi-class and top-k.
#pragma once

#include <optional>
#include <string>

#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/counts.hpp"
#include "athanor/metrics/decisions.hpp"
#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

struct AccuracyOptions {
  /// How the tensors are read (classification.hpp has the table). Say it when predictions and target have one shape.
  Kind kind = Kind::automatic;
  /// Multi-class only: a prediction is right when fewer than `top_k` classes have a greater score (or an equal score
  /// and a lower number). At most the number of classes.
  int64_t top_k = 1;
  /// Binary only: the probability above which a prediction is 1; above 0 and below 1.
  double threshold = 0.5;
  /// Binary only: predictions are logits, so that 0 is the probability 0.5. Set to false for probabilities (a net that
  /// ends in a sigmoid); they can't be told apart.
  bool from_logits = true;
  /// Targets with this value are left out. -100 is the one that LibTorch's losses ignore. Unset: none.
  std::optional<int64_t> ignore_index = {};
  /// The number of classes, when it is to be checked. Unset: the size of dimension 1 of the predictions.
  std::optional<int64_t> classes = {};

  friend bool operator==(const AccuracyOptions&, const AccuracyOptions&) = default;
};

/// Right predictions / all predictions, from 0 to 1. Counted in whole numbers, so any split and order of the data give
/// the same bits. Called "acc", or "top3_acc" with top_k = 3.
class Accuracy {
 public:
  /// Throws Error for options out of their range.
  explicit Accuracy(AccuracyOptions options = {});

  [[nodiscard]] std::string name() const;
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }

  /// Adds a batch; see classification.hpp for shapes, dtypes, ties and NaN. Does not wait for a device. Throws Error,
  /// and counts nothing, for shapes that do not fit and (on the CPU) labels out of range.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the options differ.
  void merge(const Accuracy& other);
  /// Waits for the device. Throws Error when nothing was seen, or nothing but ignored targets.
  [[nodiscard]] double compute() const;
  void reset() { counts_.reset(); }
  void state(State& state) { state.child("counts", counts_); }

 private:
  AccuracyOptions options_;
  detail::Rules rules_;
  Counts counts_;  // right, all
};

/// For `.metrics = {athanor::metrics::accuracy()}`.
[[nodiscard]] Accuracy accuracy(AccuracyOptions options = {});

/// The accuracy of these tensors alone. Waits for the device.
[[nodiscard]] double accuracy(const at::Tensor& predictions, const at::Tensor& target, AccuracyOptions options = {});

}  // namespace athanor::metrics
