// SPDX-License-Identifier: Apache-2.0
// Confusion matrix: how often each class was taken for each other.
#pragma once

#include <optional>
#include <string>

#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/counts.hpp"
#include "athanor/metrics/decisions.hpp"
#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// What the matrix is divided by. A row or column without samples stays 0.
enum class Normalize {
  none,        ///< Counts.
  target,      ///< Each row by its sum: the diagonal is the recall of each class.
  prediction,  ///< Each column by its sum: the diagonal is the precision of each class.
  all,         ///< The whole by its sum.
};

struct ConfusionMatrixOptions {
  /// How the tensors are read (classification.hpp has the list).
  Kind kind = Kind::automatic;
  /// The number of classes, in multi-label of labels; unset: dimension 1 of the predictions, 2 in binary. Needed when
  /// the predictions are more than two classes that were decided already.
  std::optional<int64_t> classes = {};
  Normalize normalize = Normalize::none;
  /// As in ClassificationOptions.
  double threshold = 0.5;
  bool from_logits = true;
  /// Targets with this value are left out. Unset: none.
  std::optional<int64_t> ignore_index = {};

  friend bool operator==(const ConfusionMatrixOptions&, const ConfusionMatrixOptions&) = default;
};

/// Rows are targets, columns are predictions; with kind multilabel a matrix of 0 and 1 for each label. Called
/// "confusion"; a tensor, so it is not among the values of an epoch.
class ConfusionMatrix {
 public:
  /// Throws Error for options out of their range.
  explicit ConfusionMatrix(ConfusionMatrixOptions options = {});

  [[nodiscard]] std::string name() const { return "confusion"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::unknown; }

  /// Adds a batch. Does not wait for a device. Throws Error, and counts nothing, for shapes that do not fit, another
  /// number of classes than before, and (on the CPU) labels out of range.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Whether the two would count and compute the same.
  [[nodiscard]] bool alike(const ConfusionMatrix& other) const noexcept { return options_ == other.options_; }
  /// Throws Error when the options or the numbers of classes differ.
  void merge(const ConfusionMatrix& other);
  /// (C, C), in multi-label (L, 2, 2), on the CPU: int64 counts, float64 when normalised. Waits for the device. Throws
  /// Error when nothing was seen.
  [[nodiscard]] at::Tensor compute() const;
  [[nodiscard]] bool empty() const noexcept { return counts_.empty(); }
  void reset() { counts_.reset(); }
  void state(State& state) { state.child("counts", counts_); }

 private:
  ConfusionMatrixOptions options_;
  detail::Rules rules_;
  Counts counts_;  // (C, C) or (L, 2, 2), row by row
};

/// For `.metrics = {athanor::metrics::confusion_matrix()}`.
[[nodiscard]] ConfusionMatrix confusion_matrix(ConfusionMatrixOptions options = {});

/// The matrix of these tensors alone. Waits for the device.
[[nodiscard]] at::Tensor confusion_matrix(const at::Tensor& predictions, const at::Tensor& target,
                                          ConfusionMatrixOptions options = {});

}  // namespace athanor::metrics
