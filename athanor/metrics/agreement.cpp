// SPDX-License-Identifier: Apache-2.0
// Cohen's kappa and Matthews' correlation coefficient.
#include "athanor/metrics/agreement.hpp"

#include <cmath>
#include <cstdlib>

#include "athanor/core/error.hpp"
#include "athanor/metrics/class_ratio.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics {
namespace {

ConfusionMatrixOptions matrix_options(const CohenKappaOptions& options) {
  if (options.kind == Kind::multilabel) {
    throw Error({.what = "Cohen's kappa has no multi-label form",
                 .where = "kappa",
                 .got = "Kind::multilabel",
                 .expected = "binary or multiclass",
                 .todo = "use one for each label"});
  }
  return {.kind = options.kind,
          .classes = options.classes,
          .threshold = options.threshold,
          .from_logits = options.from_logits,
          .ignore_index = options.ignore_index};
}

detail::Rules matthews_rules(const ClassificationOptions& options) {
  if (options.average) {
    throw Error({.what = "the correlation of Matthews is one number over all classes",
                 .where = "mcc",
                 .got = "an average",
                 .expected = ".average unset"});
  }
  return detail::rules_of("mcc", options);
}

double cost_of(KappaWeights weights, int64_t target, int64_t predicted) {
  const auto apart = static_cast<double>(std::abs(target - predicted));
  switch (weights) {
    case KappaWeights::none:
      return target == predicted ? 0 : 1;
    case KappaWeights::linear:
      return apart;
    case KappaWeights::quadratic:
      break;
  }
  return apart * apart;
}

}  // namespace

CohenKappa::CohenKappa(CohenKappaOptions options) : options_(options), matrix_(matrix_options(options)) {}

void CohenKappa::merge(const CohenKappa& other) {
  detail::check_alike(alike(other), name());
  matrix_.merge(other.matrix_);
}

double CohenKappa::compute() const {
  const at::Tensor matrix = matrix_.compute();
  const int64_t classes = matrix.size(0);
  const auto* counts = matrix.const_data_ptr<int64_t>();
  std::vector<double> targets(static_cast<size_t>(classes)), predicted(static_cast<size_t>(classes));
  double total = 0, observed = 0, expected = 0;
  for (int64_t t = 0; t < classes; ++t) {
    for (int64_t p = 0; p < classes; ++p) {
      const auto count = static_cast<double>(counts[t * classes + p]);
      targets[static_cast<size_t>(t)] += count;
      predicted[static_cast<size_t>(p)] += count;
      observed += cost_of(options_.weights, t, p) * count;
      total += count;
    }
  }
  if (total == 0) {
    throw Error({.what = "a metric has seen only targets that it ignores, or no samples", .where = name()});
  }
  for (int64_t t = 0; t < classes; ++t) {
    for (int64_t p = 0; p < classes; ++p) {
      expected +=
          cost_of(options_.weights, t, p) * targets[static_cast<size_t>(t)] * predicted[static_cast<size_t>(p)] / total;
    }
  }
  return expected == 0 ? std::nan("") : 1 - observed / expected;
}

MatthewsCorrelation::MatthewsCorrelation(ClassificationOptions options)
    : options_(options), counts_(matthews_rules(options)) {}

void MatthewsCorrelation::merge(const MatthewsCorrelation& other) {
  detail::check_alike(alike(other), name());
  counts_.merge(other.counts_);
}

double MatthewsCorrelation::compute() const {
  std::vector<detail::Tally> tallies = counts_.read();
  if (options_.kind == Kind::multilabel) {
    detail::Tally positive, negative;
    for (const detail::Tally& tally : tallies) {
      positive.right += tally.right;
      positive.predicted += tally.predicted;
      positive.targets += tally.targets;
      positive.all += tally.all;
      negative.right += tally.true_negatives();
    }
    negative.predicted = positive.all - positive.predicted;
    negative.targets = positive.all - positive.targets;
    negative.all = positive.all;
    tallies = {negative, positive};
  }
  const double all = tallies.front().all;
  double right = 0, both = 0, predicted = 0, targets = 0;
  for (const detail::Tally& tally : tallies) {
    right += tally.right;
    both += tally.predicted * tally.targets;
    predicted += tally.predicted * tally.predicted;
    targets += tally.targets * tally.targets;
  }
  const double spread = (all * all - predicted) * (all * all - targets);
  return spread == 0 ? 0.0 : (right * all - both) / std::sqrt(spread);
}

CohenKappa cohen_kappa(CohenKappaOptions options) { return CohenKappa(options); }
MatthewsCorrelation matthews(ClassificationOptions options) { return MatthewsCorrelation(options); }

double cohen_kappa(const at::Tensor& predictions, const at::Tensor& target, CohenKappaOptions options) {
  return once(cohen_kappa(options), predictions, target);
}
double matthews(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return once(matthews(options), predictions, target);
}

}  // namespace athanor::metrics
