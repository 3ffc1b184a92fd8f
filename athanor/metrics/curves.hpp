// SPDX-License-Identifier: Apache-2.0
// What scores are worth whatever the threshold: ROC and precision-recall curves, the areas under them, and the distance
// of Kolmogorov and Smirnov.
//
// Exact by default: every score is kept and sorted, ties count half in the ROC. Memory grows with the data, by 8 bytes
// a score of a binary problem. With `bins` there are so many thresholds, evenly from 0 to 1, as in torchmetrics, and
// memory does not grow.
//
// A class or label without positives or without negatives has no ROC, one without positives no precision-recall curve:
// its value is NaN, which is never best, and which averages leave out. (torchmetrics gives 0.)
//
//     athanor::Metrics metrics = {athanor::metrics::auroc(), athanor::metrics::average_precision({.bins = 200})};
#pragma once

#include <optional>
#include <string>

#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/ranked_scores.hpp"

namespace athanor::metrics {

struct CurveOptions {
  /// How the tensors are read (classification.hpp has the list). Predictions must be floating.
  Kind kind = Kind::automatic;
  /// Multi-class (each class against the rest) and multi-label; unset: macro. `micro` ranks the scores of all classes
  /// together. `per_class` gives a dictionary. Without meaning in binary.
  std::optional<Average> average = {};
  /// Multi-class: the rows are logits, and softmax makes them comparable from row to row. Binary and multi-label: the
  /// order is the same, so logits stay what they are, also as thresholds of exact curves; `bins` are of probabilities.
  /// False: probabilities, and others than 0 to 1 are refused.
  bool from_logits = true;
  /// Targets with this value are left out. Unset: none.
  std::optional<int64_t> ignore_index = {};
  /// The number of classes or labels, when it is to be checked. Unset: dimension 1 of the predictions.
  std::optional<int64_t> classes = {};
  /// Thresholds of the curve, 2 or more, for a memory that does not grow. Unset: every score is one.
  std::optional<int64_t> bins = {};

  friend bool operator==(const CurveOptions&, const CurveOptions&) = default;
};

namespace detail {

/// The part that the metrics of curves share.
class CurveMetric {
 public:
  struct Definition {
    const char* name;
    Direction direction;
    Tree (*of_column)(const RankedColumn& column);
    /// False for curves, which have no mean: several columns give a dictionary.
    bool averages;
  };

  [[nodiscard]] std::string name() const { return definition_->name; }
  [[nodiscard]] Direction direction() const noexcept { return definition_->direction; }
  [[nodiscard]] const CurveOptions& options() const noexcept { return options_; }
  /// Whether the two would count and compute the same.
  [[nodiscard]] bool alike(const CurveMetric& other) const noexcept {
    return definition_ == other.definition_ && options_ == other.options_;
  }

  /// Adds a batch. Does not wait for a device. Throws Error, and keeps nothing, for shapes that do not fit, another
  /// number of classes than before, and (on the CPU) labels and probabilities out of range and NaN.
  void update(const at::Tensor& predictions, const at::Tensor& target) { scores_.update(predictions, target); }
  /// Throws Error when the options or the numbers of classes differ.
  void merge(const CurveMetric& other);
  /// Sorts: a second for some 30 million scores. Waits for the device. Throws Error when nothing was seen, or nothing
  /// but ignored targets.
  [[nodiscard]] Tree compute() const;
  [[nodiscard]] bool empty() const noexcept { return scores_.empty(); }
  /// False for exact curves: sorting takes too long for a live display.
  [[nodiscard]] bool live() const noexcept { return options_.bins.has_value(); }
  void reset() { scores_.reset(); }
  void state(State& state) { scores_.state(state); }

 protected:
  CurveMetric(const Definition& definition, const CurveOptions& options);

 private:
  const Definition* definition_;
  CurveOptions options_;
  ScoreRanking scores_;
};

}  // namespace detail

/// The area under the ROC curve: how often a positive has a greater score than a negative, ties counting half. Counted
/// in whole numbers and divided once, so any split and order of the data give the same bits. Called "auroc".
class Auroc : public detail::CurveMetric {
 public:
  /// Throws Error for options out of their range.
  explicit Auroc(CurveOptions options = {});
};

/// The sum over thresholds of (increase of recall) times precision, without interpolation, as in scikit-learn. Called
/// "average_precision".
class AveragePrecision : public detail::CurveMetric {
 public:
  /// Throws Error for options out of their range.
  explicit AveragePrecision(CurveOptions options = {});
};

/// The greatest distance of the true positive rate from the false positive rate: the statistic of Kolmogorov and
/// Smirnov of the scores of positives and negatives. Called "ks".
class KolmogorovSmirnov : public detail::CurveMetric {
 public:
  /// Throws Error for options out of their range.
  explicit KolmogorovSmirnov(CurveOptions options = {});
};

/// A dictionary of "fpr", "tpr" and "thresholds", float64 (points) each, from (0, 0) at an infinite threshold to (1,
/// 1); every distinct score is a point. In multi-class and multi-label a dictionary of these for each class, "0", "1",
/// …, with micro of one. Called "roc"; tensors, so it is not among the values of an epoch.
class RocCurve : public detail::CurveMetric {
 public:
  /// `average` is micro or per_class. Throws Error for options out of their range.
  explicit RocCurve(CurveOptions options = {});
};

/// A dictionary of "precision", "recall", each float64 (points + 1), and "thresholds", float64 (points), ascending: at
/// or above thresholds[i] lie precision[i] and recall[i], and the last point is (1, 0), as in scikit-learn. Where
/// nothing is predicted the precision is 1. In multi-class and multi-label as RocCurve. Called
/// "precision_recall_curve".
class PrecisionRecallCurve : public detail::CurveMetric {
 public:
  /// `average` is micro or per_class. Throws Error for options out of their range.
  explicit PrecisionRecallCurve(CurveOptions options = {});
};

/// For `.metrics = {athanor::metrics::auroc()}`.
[[nodiscard]] Auroc auroc(CurveOptions options = {});
[[nodiscard]] AveragePrecision average_precision(CurveOptions options = {});
[[nodiscard]] KolmogorovSmirnov kolmogorov_smirnov(CurveOptions options = {});
[[nodiscard]] RocCurve roc_curve(CurveOptions options = {});
[[nodiscard]] PrecisionRecallCurve precision_recall_curve(CurveOptions options = {});

/// The value of these tensors alone. Waits for the device. The numbers throw Error with Average::per_class, which has
/// no single value: see once().
[[nodiscard]] double auroc(const at::Tensor& scores, const at::Tensor& target, CurveOptions options = {});
[[nodiscard]] double average_precision(const at::Tensor& scores, const at::Tensor& target, CurveOptions options = {});
[[nodiscard]] double kolmogorov_smirnov(const at::Tensor& scores, const at::Tensor& target, CurveOptions options = {});
[[nodiscard]] Tree roc_curve(const at::Tensor& scores, const at::Tensor& target, CurveOptions options = {});
[[nodiscard]] Tree precision_recall_curve(const at::Tensor& scores, const at::Tensor& target,
                                          CurveOptions options = {});

}  // namespace athanor::metrics
