// SPDX-License-Identifier: Apache-2.0
// Accuracy, Hamming distance and balanced accuracy.
#include "athanor/metrics/accuracy.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include "athanor/core/error.hpp"
#include "athanor/metrics/class_ratio.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics {
namespace {

detail::Rules balanced_rules(const BalancedAccuracyOptions& options) {
  if (options.kind == Kind::multilabel) {
    throw Error({.what = "balanced accuracy has no multi-label form",
                 .where = "balanced accuracy",
                 .got = "Kind::multilabel",
                 .expected = "binary or multiclass",
                 .todo = "take recall() and specificity() of each label"});
  }
  return {.metric = "balanced accuracy",
          .kind = options.kind,
          .top_k = options.top_k,
          .threshold = options.threshold,
          .from_logits = options.from_logits,
          .ignore_index = options.ignore_index,
          .classes = options.classes};
}

}  // namespace

Accuracy::Accuracy(ClassificationOptions options)
    : options_(options),
      rules_(detail::rules_of("accuracy", options, /*per_class=*/false)),
      classes_(detail::rules_of("accuracy", options)) {}

std::string Accuracy::name() const {
  return options_.top_k == 1 ? "acc" : "top" + std::to_string(options_.top_k) + "_acc";
}

void Accuracy::update(const at::Tensor& predictions, const at::Tensor& target) {
  if (!plain()) return classes_.update(predictions, target);
  const detail::Layout layout = detail::understand(predictions, target, rules_);
  if (predictions.is_cpu()) {
    const detail::Decisions decisions(predictions, target, layout, rules_);
    int64_t right = 0;
    int64_t all = 0;
    decisions.each([&](int64_t predicted, int64_t label) {
      right += predicted == label;
      ++all;
    });
    int64_t* counts = counts_.on_host(2);
    counts[0] += right;
    counts[1] += all;
  } else {
    const detail::DeviceDecisions decided = detail::decide_on_device(predictions, target, layout, rules_);
    const at::Tensor right = (decided.predicted == decided.target) & decided.valid;
    counts_.add(at::cat({right.sum().reshape(1), decided.valid.sum().reshape(1), decided.refused}));
  }
}

void Accuracy::merge(const Accuracy& other) {
  detail::check_alike(alike(other), name());
  counts_.merge(other.counts_, "accuracy");
  classes_.merge(other.classes_);
}

Tree Accuracy::part_that_is(bool right) const {
  if (!plain()) {
    const bool multilabel = options_.kind == Kind::multilabel;
    return detail::averaged(classes_.read(), *options_.average, multilabel, [&](const detail::Tally& tally) {
      const double all = multilabel ? tally.all : tally.targets;
      const double hits = multilabel ? tally.right + tally.true_negatives() : tally.right;
      if (right) return detail::Fraction{hits, all};
      return all == 0 ? detail::Fraction{1, 1} : detail::Fraction{all - hits, all};
    });
  }
  const std::vector<int64_t> counts = counts_.read("accuracy");
  if (counts[1] == 0) {
    throw Error({.what = "a metric has seen only targets that it ignores, or no samples",
                 .where = "accuracy",
                 .expected = "at least one target that counts"});
  }
  return static_cast<double>(right ? counts[0] : counts[1] - counts[0]) / static_cast<double>(counts[1]);
}

void Accuracy::reset() {
  counts_.reset();
  classes_.reset();
}

void Accuracy::state(State& state) {
  if (plain()) {
    state.child("counts", counts_);
  } else {
    state.child("classes", classes_);
  }
}

BalancedAccuracy::BalancedAccuracy(BalancedAccuracyOptions options)
    : options_(options), counts_(balanced_rules(options)) {}

void BalancedAccuracy::merge(const BalancedAccuracy& other) {
  detail::check_alike(alike(other), name());
  counts_.merge(other.counts_);
}

double BalancedAccuracy::compute() const {
  double recalls = 0;
  double classes = 0;
  for (const detail::Tally& tally : counts_.read()) {
    if (tally.targets == 0) continue;
    recalls += tally.right / tally.targets;
    ++classes;
  }
  const double value = recalls / classes;
  return options_.adjusted ? (value - 1 / classes) / (1 - 1 / classes) : value;
}

Accuracy accuracy(ClassificationOptions options) { return Accuracy(options); }
HammingDistance hamming_distance(ClassificationOptions options) { return HammingDistance(options); }
BalancedAccuracy balanced_accuracy(BalancedAccuracyOptions options) { return BalancedAccuracy(options); }

double accuracy(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return detail::number_once(accuracy(options), predictions, target);
}
double hamming_distance(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return detail::number_once(hamming_distance(options), predictions, target);
}
double balanced_accuracy(const at::Tensor& predictions, const at::Tensor& target, BalancedAccuracyOptions options) {
  return once(balanced_accuracy(options), predictions, target);
}

}  // namespace athanor::metrics
