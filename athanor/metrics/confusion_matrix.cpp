// SPDX-License-Identifier: Apache-2.0
// Confusion matrix: how often each class was taken for each other.
#include "athanor/metrics/confusion_matrix.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"

namespace athanor::metrics {

ConfusionMatrix::ConfusionMatrix(ConfusionMatrixOptions options)
    : options_(options),
      rules_{.metric = "confusion matrix",
             .kind = options.kind,
             .threshold = options.threshold,
             .from_logits = options.from_logits,
             .ignore_index = options.ignore_index,
             .classes = options.classes} {
  detail::check(rules_);
}

void ConfusionMatrix::update(const at::Tensor& predictions, const at::Tensor& target) {
  const detail::Layout layout = detail::understand(predictions, target, rules_);
  const int64_t classes = layout.classes;
  if (predictions.is_cpu()) {
    const detail::Decisions decisions(predictions, target, layout, rules_);
    int64_t* counts = counts_.on_host(classes * classes);
    decisions.each([&](int64_t predicted, int64_t label) { ++counts[label * classes + predicted]; });
  } else {
    const detail::DeviceDecisions decided = detail::decide_on_device(predictions, target, layout, rules_);
    const at::Tensor cell = decided.target * classes + decided.predicted;
    counts_.add(at::cat({detail::count_on_device(cell, decided.valid, classes * classes), decided.refused}));
  }
}

void ConfusionMatrix::merge(const ConfusionMatrix& other) {
  if (options_ != other.options_) {
    throw Error({.what = "two metrics with different options can't be merged", .where = "confusion matrix"});
  }
  counts_.merge(other.counts_, "confusion matrix");
}

at::Tensor ConfusionMatrix::compute() const {
  const std::vector<int64_t> counts = counts_.read("confusion matrix");
  const int64_t classes = std::llround(std::sqrt(static_cast<double>(counts.size())));
  at::Tensor matrix = at::empty({classes, classes}, at::kLong);
  std::copy(counts.begin(), counts.end(), matrix.mutable_data_ptr<int64_t>());
  if (options_.normalize == Normalize::none) return matrix;
  const at::Tensor sums = options_.normalize == Normalize::target       ? matrix.sum(1, /*keepdim=*/true)
                          : options_.normalize == Normalize::prediction ? matrix.sum(0, /*keepdim=*/true)
                                                                        : matrix.sum();
  return matrix.to(at::kDouble) / sums.clamp_min(1).to(at::kDouble);
}

ConfusionMatrix confusion_matrix(ConfusionMatrixOptions options) { return ConfusionMatrix(options); }

at::Tensor confusion_matrix(const at::Tensor& predictions, const at::Tensor& target, ConfusionMatrixOptions options) {
  ConfusionMatrix metric(options);
  metric.update(predictions, target);
  return metric.compute();
}

}  // namespace athanor::metrics
