// SPDX-License-Identifier: Apache-2.0
// Accuracy: the part of the predictions that are right.
#include "athanor/metrics/accuracy.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include "athanor/core/error.hpp"

namespace athanor::metrics {

Accuracy::Accuracy(AccuracyOptions options)
    : options_(options),
      rules_{.metric = "accuracy",
             .kind = options.kind,
             .top_k = options.top_k,
             .threshold = options.threshold,
             .from_logits = options.from_logits,
             .ignore_index = options.ignore_index,
             .classes = options.classes,
             .per_class = false} {
  detail::check(rules_);
}

std::string Accuracy::name() const {
  return options_.top_k == 1 ? "acc" : "top" + std::to_string(options_.top_k) + "_acc";
}

void Accuracy::update(const at::Tensor& predictions, const at::Tensor& target) {
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
  if (options_ != other.options_) {
    throw Error({.what = "two metrics with different options can't be merged", .where = "accuracy"});
  }
  counts_.merge(other.counts_, "accuracy");
}

double Accuracy::compute() const {
  const std::vector<int64_t> counts = counts_.read("accuracy");
  if (counts[1] == 0) {
    throw Error({.what = "a metric has seen only targets that it ignores, or no samples", .where = "accuracy"});
  }
  return static_cast<double>(counts[0]) / static_cast<double>(counts[1]);
}

Accuracy accuracy(AccuracyOptions options) { return Accuracy(options); }

double accuracy(const at::Tensor& predictions, const at::Tensor& target, AccuracyOptions options) {
  Accuracy metric(options);
  metric.update(predictions, target);
  return metric.compute();
}

}  // namespace athanor::metrics
