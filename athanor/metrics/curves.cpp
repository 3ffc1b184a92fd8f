// SPDX-License-Identifier: Apache-2.0
// ROC and precision-recall curves, and what is read off them.
#include "athanor/metrics/curves.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/ranked_column.hpp"

namespace athanor::metrics {
namespace {

using detail::CurveMetric;
using detail::RankedColumn;

constexpr double undefined_value = std::numeric_limits<double>::quiet_NaN();

Tree area_under_roc(const RankedColumn& column) {
  if (column.positives == 0 || column.negatives == 0) return undefined_value;
  return static_cast<double>(column.twice_pairs_in_order()) /
         (2 * static_cast<double>(column.positives) * static_cast<double>(column.negatives));
}

Tree sum_of_precisions(const RankedColumn& column) {
  if (column.positives == 0) return undefined_value;
  double sum = 0;
  uint64_t last_positives = 0;
  column.walk([&](double, uint64_t positives, uint64_t negatives) {
    if (positives == last_positives) return;
    sum += static_cast<double>(positives - last_positives) * static_cast<double>(positives) /
           static_cast<double>(positives + negatives);
    last_positives = positives;
  });
  return sum / static_cast<double>(column.positives);
}

Tree greatest_distance(const RankedColumn& column) {
  if (column.positives == 0 || column.negatives == 0) return undefined_value;
  const auto all_positives = static_cast<double>(column.positives);
  const auto all_negatives = static_cast<double>(column.negatives);
  double greatest = 0;
  column.walk([&](double, uint64_t positives, uint64_t negatives) {
    greatest = std::max(greatest, std::abs(static_cast<double>(positives) / all_positives -
                                           static_cast<double>(negatives) / all_negatives));
  });
  return greatest;
}

at::Tensor column_of(const std::vector<double>& values) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<double>());
  return tensor;
}

double rate(uint64_t count, uint64_t all) {
  return all == 0 ? undefined_value : static_cast<double>(count) / static_cast<double>(all);
}

Tree roc_points(const RankedColumn& column) {
  std::vector<double> false_positive{rate(0, column.negatives)}, true_positive{rate(0, column.positives)};
  std::vector<double> thresholds{std::numeric_limits<double>::infinity()};
  column.walk([&](double threshold, uint64_t positives, uint64_t negatives) {
    false_positive.push_back(rate(negatives, column.negatives));
    true_positive.push_back(rate(positives, column.positives));
    thresholds.push_back(threshold);
  });
  return {{"fpr", column_of(false_positive)}, {"tpr", column_of(true_positive)}, {"thresholds", column_of(thresholds)}};
}

Tree precision_recall_points(const RankedColumn& column) {
  std::vector<double> precision{1}, recall{0}, thresholds;
  column.walk([&](double threshold, uint64_t positives, uint64_t negatives) {
    precision.push_back(positives + negatives == 0 ? 1 : rate(positives, positives + negatives));
    recall.push_back(rate(positives, column.positives));
    thresholds.push_back(threshold);
  });
  for (std::vector<double>* values : {&precision, &recall, &thresholds}) std::reverse(values->begin(), values->end());
  return {{"precision", column_of(precision)}, {"recall", column_of(recall)}, {"thresholds", column_of(thresholds)}};
}

constexpr CurveMetric::Definition auroc_definition = {"auroc", Direction::up, area_under_roc, true};
constexpr CurveMetric::Definition average_precision_definition = {"average_precision", Direction::up, sum_of_precisions,
                                                                  true};
constexpr CurveMetric::Definition smirnov_definition = {"ks", Direction::up, greatest_distance, true};
constexpr CurveMetric::Definition roc_definition = {"roc", Direction::unknown, roc_points, false};
constexpr CurveMetric::Definition precision_recall_definition = {"precision_recall_curve", Direction::unknown,
                                                                 precision_recall_points, false};

}  // namespace

namespace detail {

CurveMetric::CurveMetric(const Definition& definition, const CurveOptions& options)
    : definition_(&definition),
      options_(options),
      scores_({.metric = definition.name,
               .kind = options.kind,
               .from_logits = options.from_logits,
               .ignore_index = options.ignore_index,
               .classes = options.classes},
              options.bins) {
  const Average average = options.average.value_or(Average::per_class);
  if (!definition.averages && average != Average::micro && average != Average::per_class) {
    throw Error({.what = "curves have no mean",
                 .where = definition.name,
                 .got = average == Average::macro ? "Average::macro" : "Average::weighted",
                 .expected = "micro or per_class"});
  }
}

void CurveMetric::merge(const CurveMetric& other) {
  check_alike(alike(other), name());
  scores_.merge(other.scores_);
}

Tree CurveMetric::compute() const {
  if (options_.average == Average::micro) {
    const RankedColumn together = scores_.together();
    if (together.positives + together.negatives > 0) return definition_->of_column(together);
  }
  const std::vector<RankedColumn> columns = scores_.columns();
  const bool several = columns.size() > 1 || options_.kind == Kind::multilabel;
  if (!several) return definition_->of_column(columns.front());
  const Average average = options_.average.value_or(definition_->averages ? Average::macro : Average::per_class);
  Tree::Dictionary each;
  double sum = 0, weights = 0;
  for (size_t i = 0; i < columns.size(); ++i) {
    Tree value = definition_->of_column(columns[i]);
    if (average != Average::per_class && !std::isnan(value.real())) {
      const double weight = average == Average::weighted ? static_cast<double>(columns[i].positives) : 1;
      sum += weight * value.real();
      weights += weight;
    }
    each.emplace_back(std::to_string(i), std::move(value));
  }
  if (average == Average::per_class) return each;
  return weights == 0 ? undefined_value : sum / weights;
}

}  // namespace detail

Auroc::Auroc(CurveOptions options) : CurveMetric(auroc_definition, options) {}
AveragePrecision::AveragePrecision(CurveOptions options) : CurveMetric(average_precision_definition, options) {}
KolmogorovSmirnov::KolmogorovSmirnov(CurveOptions options) : CurveMetric(smirnov_definition, options) {}
RocCurve::RocCurve(CurveOptions options) : CurveMetric(roc_definition, options) {}
PrecisionRecallCurve::PrecisionRecallCurve(CurveOptions options) : CurveMetric(precision_recall_definition, options) {}

Auroc auroc(CurveOptions options) { return Auroc(options); }
AveragePrecision average_precision(CurveOptions options) { return AveragePrecision(options); }
KolmogorovSmirnov kolmogorov_smirnov(CurveOptions options) { return KolmogorovSmirnov(options); }
RocCurve roc_curve(CurveOptions options) { return RocCurve(options); }
PrecisionRecallCurve precision_recall_curve(CurveOptions options) { return PrecisionRecallCurve(options); }

double auroc(const at::Tensor& scores, const at::Tensor& target, CurveOptions options) {
  return detail::number_once(auroc(options), scores, target);
}
double average_precision(const at::Tensor& scores, const at::Tensor& target, CurveOptions options) {
  return detail::number_once(average_precision(options), scores, target);
}
double kolmogorov_smirnov(const at::Tensor& scores, const at::Tensor& target, CurveOptions options) {
  return detail::number_once(kolmogorov_smirnov(options), scores, target);
}
Tree roc_curve(const at::Tensor& scores, const at::Tensor& target, CurveOptions options) {
  return once(roc_curve(options), scores, target);
}
Tree precision_recall_curve(const at::Tensor& scores, const at::Tensor& target, CurveOptions options) {
  return once(precision_recall_curve(options), scores, target);
}

}  // namespace athanor::metrics
