// SPDX-License-Identifier: Apache-2.0
// Precision, recall and F1, for the positive class or averaged over classes.
//
//     precision = right predictions of the class / predictions of the class
//     recall    = right predictions of the class / targets of the class
//     F1        = their harmonic mean = 2 right / (predictions + targets)
//
// A division by zero gives 0, as in scikit-learn and torchmetrics.
#pragma once

#include <optional>
#include <string>

#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/counts.hpp"
#include "athanor/metrics/decisions.hpp"
#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// How the values of the classes become one.
enum class Average {
  micro,      ///< From the counts of all classes together; equals the accuracy when each sample has one class.
  macro,      ///< Mean over the classes that occur among targets or predictions; others are left out, as scikit-learn
              ///< and torchmetrics do.
  weighted,   ///< Mean over the classes, weighted by their number of targets.
  per_class,  ///< None: a dictionary with an entry for each class, "0", "1", …; 0 for a class that never occurs.
};

struct PrecisionRecallOptions {
  /// How the tensors are read (classification.hpp has the table).
  Kind kind = Kind::automatic;
  /// Unset: in binary the value of the positive class, 1; in multi-class `macro`. Set in binary: over both classes.
  std::optional<Average> average = {};
  /// Binary only, as in AccuracyOptions.
  double threshold = 0.5;
  bool from_logits = true;
  /// Targets with this value are left out. Predictions of that class at other places still count as wrong. Unset: none.
  std::optional<int64_t> ignore_index = {};
  /// The number of classes; unset: dimension 1 of the predictions, 2 in binary. Needed when the predictions are more
  /// than two classes that were decided already.
  std::optional<int64_t> classes = {};

  friend bool operator==(const PrecisionRecallOptions&, const PrecisionRecallOptions&) = default;
};

namespace detail {

/// The part that precision, recall and F1 share: three whole numbers for each class, 24 bytes a class.
class ClassCounts {
 public:
  ClassCounts(const char* metric, PrecisionRecallOptions options);

  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  /// Adds a batch. Does not wait for a device. Throws Error, and counts nothing, for shapes that do not fit, another
  /// number of classes than before, and (on the CPU) labels out of range.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  void reset();
  void state(State& state);

 protected:
  /// `ratio(right, predicted, targets)` gives numerator and denominator of a class.
  using Ratio = std::pair<double, double> (*)(double right, double predicted, double targets);
  [[nodiscard]] Tree compute(Ratio ratio) const;
  void merge(const ClassCounts& other);

 private:
  PrecisionRecallOptions options_;
  Rules rules_;
  bool binary_ = false;
  Counts counts_;  // (3, C): right, predicted, targets
};

}  // namespace detail

/// Called "precision".
class Precision : public detail::ClassCounts {
 public:
  /// Throws Error for options out of their range.
  explicit Precision(PrecisionRecallOptions options = {}) : ClassCounts("precision", options) {}
  [[nodiscard]] std::string name() const { return "precision"; }
  /// Throws Error when the options or the numbers of classes differ.
  void merge(const Precision& other) { ClassCounts::merge(other); }
  /// A number, or a dictionary with Average::per_class. Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] Tree compute() const;
};

/// Called "recall".
class Recall : public detail::ClassCounts {
 public:
  /// Throws Error for options out of their range.
  explicit Recall(PrecisionRecallOptions options = {}) : ClassCounts("recall", options) {}
  [[nodiscard]] std::string name() const { return "recall"; }
  /// Throws Error when the options or the numbers of classes differ.
  void merge(const Recall& other) { ClassCounts::merge(other); }
  /// A number, or a dictionary with Average::per_class. Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] Tree compute() const;
};

/// Called "f1". Averages are averages of the F1 of each class, not the F1 of averages.
class F1 : public detail::ClassCounts {
 public:
  /// Throws Error for options out of their range.
  explicit F1(PrecisionRecallOptions options = {}) : ClassCounts("f1", options) {}
  [[nodiscard]] std::string name() const { return "f1"; }
  /// Throws Error when the options or the numbers of classes differ.
  void merge(const F1& other) { ClassCounts::merge(other); }
  /// A number, or a dictionary with Average::per_class. Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] Tree compute() const;
};

/// For `.metrics = {athanor::metrics::f1()}`.
[[nodiscard]] Precision precision(PrecisionRecallOptions options = {});
[[nodiscard]] Recall recall(PrecisionRecallOptions options = {});
[[nodiscard]] F1 f1(PrecisionRecallOptions options = {});

/// The value of these tensors alone. Waits for the device. Throws Error with Average::per_class, which has no single
/// value: use the class.
[[nodiscard]] double precision(const at::Tensor& predictions, const at::Tensor& target,
                               PrecisionRecallOptions options = {});
[[nodiscard]] double recall(const at::Tensor& predictions, const at::Tensor& target,
                            PrecisionRecallOptions options = {});
[[nodiscard]] double f1(const at::Tensor& predictions, const at::Tensor& target, PrecisionRecallOptions options = {});

}  // namespace athanor::metrics
