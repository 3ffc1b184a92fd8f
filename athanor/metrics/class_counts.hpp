// SPDX-License-Identifier: Apache-2.0
// How often each class was right, predicted and true; shared by the metrics of classification, not for use outside.
#pragma once

#include <vector>

#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/counts.hpp"
#include "athanor/metrics/decisions.hpp"

namespace athanor::metrics::detail {

/// What was counted of one class or label, in whole numbers.
struct Tally {
  double right = 0;      ///< True positives.
  double predicted = 0;  ///< True and false positives.
  double targets = 0;    ///< True positives and false negatives.
  double all = 0;        ///< Everything that was seen.

  [[nodiscard]] double true_negatives() const noexcept { return all - predicted - targets + right; }
  [[nodiscard]] bool occurs() const noexcept { return predicted + targets > 0; }
};

/// Three whole numbers for each class, four for each label of a multi-label problem. A copy counts on its own.
class ClassCounts {
 public:
  /// Throws Error for options out of their range.
  explicit ClassCounts(const Rules& rules);

  /// Adds a batch. Does not wait for a device. Throws Error, and counts nothing, for what classification.hpp lists and
  /// for another number of classes than before.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the numbers of classes differ.
  void merge(const ClassCounts& other);
  [[nodiscard]] bool empty() const noexcept { return counts_.empty(); }
  /// Whether what was seen was a single binary problem.
  [[nodiscard]] bool binary() const noexcept { return binary_; }
  /// One for each class or label. Waits for the device. Throws Error when nothing was seen, or nothing but ignored
  /// targets.
  [[nodiscard]] std::vector<Tally> read() const;
  void reset();
  void state(State& state);

 private:
  [[nodiscard]] bool multilabel() const noexcept { return rules_.kind == Kind::multilabel; }

  Rules rules_;
  bool binary_ = false;
  Counts counts_;  // (3, C): right, predicted, targets; or (L, 4): place 2 * target + prediction
};

}  // namespace athanor::metrics::detail
