// SPDX-License-Identifier: Apache-2.0
// Accuracy, the part of the predictions that are right; Hamming distance, the part that are wrong; balanced accuracy.
#pragma once

#include <optional>
#include <string>

#include "athanor/metrics/class_counts.hpp"
#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/counts.hpp"
#include "athanor/metrics/decisions.hpp"
#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// Right predictions / all predictions, from 0 to 1. Counted in whole numbers, so any split and order of the data give
/// the same bits. Called "acc", or "top3_acc" with top_k = 3.
///
/// With an average other than micro it is that of each class: of the targets of the class, the part that was predicted
/// as it (in multi-label: of all elements of the label, the part that is right).
class Accuracy {
 public:
  /// Throws Error for options out of their range.
  explicit Accuracy(ClassificationOptions options = {});

  [[nodiscard]] std::string name() const;
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] const ClassificationOptions& options() const noexcept { return options_; }
  /// Whether the two would count and compute the same.
  [[nodiscard]] bool alike(const Accuracy& other) const noexcept { return options_ == other.options_; }

  /// Adds a batch; see classification.hpp for shapes, dtypes and ties. Does not wait for a device. Throws Error, and
  /// counts nothing, for shapes that do not fit and (on the CPU) labels out of range, NaN and probabilities out of
  /// range.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the options differ.
  void merge(const Accuracy& other);
  /// A number, or a dictionary with Average::per_class. Waits for the device. Throws Error when nothing was seen, or
  /// nothing but ignored targets.
  [[nodiscard]] Tree compute() const { return part_that_is(true); }
  [[nodiscard]] bool empty() const noexcept { return plain() ? counts_.empty() : classes_.empty(); }
  void reset();
  void state(State& state);

 private:
  friend class HammingDistance;
  [[nodiscard]] Tree part_that_is(bool right) const;
  [[nodiscard]] bool plain() const noexcept { return options_.average.value_or(Average::micro) == Average::micro; }

  ClassificationOptions options_;
  detail::Rules rules_;
  Counts counts_;  // right, all; of micro, which needs no number of classes
  detail::ClassCounts classes_;
};

/// 1 - accuracy, with the averages of Accuracy: the part of the predictions, in multi-label of the single labels, that
/// are wrong. Called "hamming".
class HammingDistance {
 public:
  /// Throws Error for options out of their range.
  explicit HammingDistance(ClassificationOptions options = {}) : accuracy_(options) {}

  [[nodiscard]] std::string name() const { return "hamming"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  [[nodiscard]] bool alike(const HammingDistance& other) const noexcept { return accuracy_.alike(other.accuracy_); }
  /// As of Accuracy.
  void update(const at::Tensor& predictions, const at::Tensor& target) { accuracy_.update(predictions, target); }
  void merge(const HammingDistance& other) { accuracy_.merge(other.accuracy_); }
  [[nodiscard]] Tree compute() const { return accuracy_.part_that_is(false); }
  [[nodiscard]] bool empty() const noexcept { return accuracy_.empty(); }
  void reset() { accuracy_.reset(); }
  void state(State& state) { accuracy_.state(state); }

 private:
  Accuracy accuracy_;
};

struct BalancedAccuracyOptions {
  /// As in ClassificationOptions. There is no multi-label form.
  Kind kind = Kind::automatic;
  int64_t top_k = 1;
  double threshold = 0.5;
  bool from_logits = true;
  std::optional<int64_t> ignore_index = {};
  std::optional<int64_t> classes = {};
  /// Moves the value of guessing to 0 and keeps 1 for perfect: (value - 1 / classes) / (1 - 1 / classes).
  bool adjusted = false;

  friend bool operator==(const BalancedAccuracyOptions&, const BalancedAccuracyOptions&) = default;
};

/// The mean recall of the classes that occur among the targets; in binary (recall + specificity) / 2. Called
/// "balanced_acc".
class BalancedAccuracy {
 public:
  /// Throws Error for options out of their range.
  explicit BalancedAccuracy(BalancedAccuracyOptions options = {});

  [[nodiscard]] std::string name() const { return "balanced_acc"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const BalancedAccuracy& other) const noexcept { return options_ == other.options_; }
  /// As of Accuracy.
  void update(const at::Tensor& predictions, const at::Tensor& target) { counts_.update(predictions, target); }
  void merge(const BalancedAccuracy& other);
  /// Waits for the device. Throws Error when nothing was seen. NaN when `adjusted` and a single class occurs.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return counts_.empty(); }
  void reset() { counts_.reset(); }
  void state(State& state) { counts_.state(state); }

 private:
  BalancedAccuracyOptions options_;
  detail::ClassCounts counts_;
};

/// For `.metrics = {athanor::metrics::accuracy()}`.
[[nodiscard]] Accuracy accuracy(ClassificationOptions options = {});
[[nodiscard]] HammingDistance hamming_distance(ClassificationOptions options = {});
[[nodiscard]] BalancedAccuracy balanced_accuracy(BalancedAccuracyOptions options = {});

/// The value of these tensors alone. Waits for the device. Throws Error with Average::per_class, which has no single
/// value: see once().
[[nodiscard]] double accuracy(const at::Tensor& predictions, const at::Tensor& target,
                              ClassificationOptions options = {});
[[nodiscard]] double hamming_distance(const at::Tensor& predictions, const at::Tensor& target,
                                      ClassificationOptions options = {});
[[nodiscard]] double balanced_accuracy(const at::Tensor& predictions, const at::Tensor& target,
                                       BalancedAccuracyOptions options = {});

}  // namespace athanor::metrics
