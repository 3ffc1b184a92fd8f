// SPDX-License-Identifier: Apache-2.0
// Confusion matrix: how often each class was taken for each other.
#include "athanor/metrics/confusion_matrix.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "athanor/metrics/once.hpp"

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
  const bool multilabel = layout.labels > 0;
  const int64_t cells = classes * classes * (multilabel ? layout.labels : 1);
  if (predictions.is_cpu()) {
    const detail::Decisions decisions(predictions, target, layout, rules_);
    int64_t* counts = counts_.on_host(cells);
    if (multilabel) {
      decisions.each_place([&](int64_t place, int64_t predicted, int64_t label) {
        ++counts[(layout.label_of(place) * 2 + label) * 2 + predicted];
      });
    } else {
      decisions.each([&](int64_t predicted, int64_t label) { ++counts[label * classes + predicted]; });
    }
  } else {
    const detail::DeviceDecisions decided = detail::decide_on_device(predictions, target, layout, rules_);
    at::Tensor cell = decided.target * classes + decided.predicted;
    if (multilabel) cell = cell + detail::labels_on_device(layout, cell) * 4;
    counts_.add(at::cat({detail::count_on_device(cell, decided.valid, cells), decided.refused}));
  }
}

void ConfusionMatrix::merge(const ConfusionMatrix& other) {
  detail::check_alike(alike(other), "confusion matrix");
  counts_.merge(other.counts_, "confusion matrix");
}

at::Tensor ConfusionMatrix::compute() const {
  const std::vector<int64_t> counts = counts_.read("confusion matrix");
  const bool multilabel = options_.kind == Kind::multilabel;
  const int64_t classes = multilabel ? 2 : std::llround(std::sqrt(static_cast<double>(counts.size())));
  const int64_t labels = static_cast<int64_t>(counts.size()) / (classes * classes);
  at::Tensor matrix =
      multilabel ? at::empty({labels, classes, classes}, at::kLong) : at::empty({classes, classes}, at::kLong);
  std::copy(counts.begin(), counts.end(), matrix.mutable_data_ptr<int64_t>());
  if (options_.normalize == Normalize::none) return matrix;
  const at::Tensor sums = options_.normalize == Normalize::target       ? matrix.sum(-1, /*keepdim=*/true)
                          : options_.normalize == Normalize::prediction ? matrix.sum(-2, /*keepdim=*/true)
                                                                        : matrix.sum({-2, -1}, /*keepdim=*/true);
  return matrix.to(at::kDouble) / sums.clamp_min(1).to(at::kDouble);
}

ConfusionMatrix confusion_matrix(ConfusionMatrixOptions options) { return ConfusionMatrix(options); }

at::Tensor confusion_matrix(const at::Tensor& predictions, const at::Tensor& target, ConfusionMatrixOptions options) {
  return once(confusion_matrix(options), predictions, target);
}

}  // namespace athanor::metrics
