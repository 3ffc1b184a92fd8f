// SPDX-License-Identifier: Apache-2.0
// Precision, recall and F1, for the positive class or averaged over classes.
#include "athanor/metrics/precision_recall.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include <numeric>

#include "athanor/core/error.hpp"

namespace athanor::metrics {
namespace {

double divide(std::pair<double, double> ratio) { return ratio.second == 0 ? 0.0 : ratio.first / ratio.second; }

template <class M>
double compute_once(const at::Tensor& predictions, const at::Tensor& target, const PrecisionRecallOptions& options) {
  M metric(options);
  if (options.average == Average::per_class) {
    throw Error({.what = "a value for each class is not a single number",
                 .where = metric.name(),
                 .got = "Average::per_class",
                 .expected = "micro, macro or weighted",
                 .todo = "make the metric, update() it, and read the dictionary that compute() gives"});
  }
  metric.update(predictions, target);
  return metric.compute().real();
}

}  // namespace

namespace detail {

ClassCounts::ClassCounts(const char* metric, PrecisionRecallOptions options)
    : options_(options),
      rules_{.metric = metric,
             .kind = options.kind,
             .threshold = options.threshold,
             .from_logits = options.from_logits,
             .ignore_index = options.ignore_index,
             .classes = options.classes} {
  check(rules_);
}

void ClassCounts::update(const at::Tensor& predictions, const at::Tensor& target) {
  const Layout layout = understand(predictions, target, rules_);
  const int64_t classes = layout.classes;
  if (predictions.is_cpu()) {
    const Decisions decisions(predictions, target, layout, rules_);
    int64_t* right = counts_.on_host(3 * classes);
    int64_t* predicted_as = right + classes;
    int64_t* targets = predicted_as + classes;
    decisions.each([&](int64_t predicted, int64_t label) {
      right[label] += predicted == label;
      ++predicted_as[predicted];
      ++targets[label];
    });
  } else {
    const DeviceDecisions decided = decide_on_device(predictions, target, layout, rules_);
    const at::Tensor hits = (decided.predicted == decided.target) & decided.valid;
    counts_.add(at::cat({count_on_device(decided.target, hits, classes),
                         count_on_device(decided.predicted, decided.valid, classes),
                         count_on_device(decided.target, decided.valid, classes), decided.refused}));
  }
  binary_ = layout.binary;
}

void ClassCounts::merge(const ClassCounts& other) {
  if (options_ != other.options_) {
    throw Error({.what = "two metrics with different options can't be merged", .where = rules_.metric});
  }
  counts_.merge(other.counts_, rules_.metric);
  binary_ = binary_ || other.binary_;
}

Tree ClassCounts::compute(Ratio ratio) const {
  const std::vector<int64_t> counts = counts_.read(rules_.metric);
  const size_t classes = counts.size() / 3;
  const int64_t total = std::accumulate(counts.end() - static_cast<int64_t>(classes), counts.end(), int64_t{0});
  if (total == 0) {
    throw Error({.what = "a metric has seen only targets that it ignores, or no samples", .where = rules_.metric});
  }
  const auto of_class = [&](size_t c) {
    return ratio(static_cast<double>(counts[c]), static_cast<double>(counts[classes + c]),
                 static_cast<double>(counts[2 * classes + c]));
  };
  if (!options_.average && binary_) return divide(of_class(1));
  const Average average = options_.average.value_or(Average::macro);

  Tree::Dictionary each;
  std::pair<double, double> together{0, 0};
  double macro = 0;
  int64_t occurring = 0;
  double weighted = 0;
  for (size_t c = 0; c < classes; ++c) {
    const std::pair<double, double> parts = of_class(c);
    const double value = divide(parts);
    together.first += parts.first;
    together.second += parts.second;
    if (counts[classes + c] + counts[2 * classes + c] > 0) {
      macro += value;
      ++occurring;
    }
    weighted += value * static_cast<double>(counts[2 * classes + c]);
    if (average == Average::per_class) each.emplace_back(std::to_string(c), value);
  }
  switch (average) {
    case Average::micro:
      return divide(together);
    case Average::macro:
      return macro / static_cast<double>(occurring);
    case Average::weighted:
      return weighted / static_cast<double>(total);
    case Average::per_class:
      break;
  }
  return each;
}

void ClassCounts::reset() {
  counts_.reset();
  binary_ = false;
}

void ClassCounts::state(State& state) {
  state.child("counts", counts_);
  state.value("binary", binary_);
}

}  // namespace detail

Tree Precision::compute() const {
  return ClassCounts::compute([](double right, double predicted, double) { return std::pair(right, predicted); });
}

Tree Recall::compute() const {
  return ClassCounts::compute([](double right, double, double targets) { return std::pair(right, targets); });
}

Tree F1::compute() const {
  return ClassCounts::compute(
      [](double right, double predicted, double targets) { return std::pair(2 * right, predicted + targets); });
}

Precision precision(PrecisionRecallOptions options) { return Precision(options); }
Recall recall(PrecisionRecallOptions options) { return Recall(options); }
F1 f1(PrecisionRecallOptions options) { return F1(options); }

double precision(const at::Tensor& predictions, const at::Tensor& target, PrecisionRecallOptions options) {
  return compute_once<Precision>(predictions, target, options);
}
double recall(const at::Tensor& predictions, const at::Tensor& target, PrecisionRecallOptions options) {
  return compute_once<Recall>(predictions, target, options);
}
double f1(const at::Tensor& predictions, const at::Tensor& target, PrecisionRecallOptions options) {
  return compute_once<F1>(predictions, target, options);
}

}  // namespace athanor::metrics
