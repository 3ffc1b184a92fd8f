// SPDX-License-Identifier: Apache-2.0
// Pairs of classes by operators, for tensors that are not on the CPU.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "athanor/metrics/decisions.hpp"

namespace athanor::metrics::detail {
namespace {

/// The true class where it is among the best k of its place, else the best one.
at::Tensor best_k(const at::Tensor& scores, const at::Tensor& target, const Layout& layout, int64_t k) {
  const at::Tensor all = scores.reshape({layout.outer, layout.classes, layout.inner});
  const at::Tensor label = target.reshape({layout.outer, 1, layout.inner}).clamp(0, layout.classes - 1);
  const at::Tensor own = all.gather(1, label);
  const at::Tensor order = at::arange(layout.classes, target.options()).reshape({1, layout.classes, 1});
  const at::Tensor ahead = (all > own) | ((all == own) & (order < label));
  const at::Tensor missed = ahead.sum(1).reshape(-1) >= k;
  return target.masked_fill(missed, 0) + all.argmax(1).reshape(-1) * missed;
}

}  // namespace

DeviceDecisions decide_on_device(const at::Tensor& predictions, const at::Tensor& target, const Layout& layout,
                                 const Rules& rules) {
  const at::NoGradGuard no_grad;
  DeviceDecisions decided;
  const at::Tensor flat = layout.one_hot_target ? target.argmax(1).reshape(-1) : target.reshape(-1);
  decided.target = flat.to(at::kLong);
  at::Tensor in_range = (decided.target >= 0) & (decided.target < layout.classes);
  if (layout.classes == Layout::any_class) in_range = in_range | in_range.bitwise_not();
  if (flat.is_floating_point()) in_range = in_range & (decided.target == flat);
  switch (layout.predictions) {
    case Layout::Predictions::scores:
      in_range = in_range & (predictions == predictions).all(1).reshape(-1);
      decided.predicted = rules.top_k == 1 ? predictions.argmax(1).reshape(-1)
                                           : best_k(predictions, decided.target, layout, rules.top_k);
      break;
    case Layout::Predictions::decisions_by_threshold: {
      const double cut = rules.from_logits ? std::log(rules.threshold / (1 - rules.threshold)) : rules.threshold;
      const at::Tensor values = predictions.reshape(-1);
      const bool exact = values.scalar_type() == at::kFloat || values.scalar_type() == at::kDouble;
      in_range = in_range & (rules.from_logits ? values == values : (values >= 0) & (values <= 1));
      decided.predicted = ((exact ? values : values.to(at::kFloat)) > cut).to(at::kLong);
      break;
    }
    case Layout::Predictions::labels:
      decided.predicted = predictions.reshape(-1).to(at::kLong);
      if (layout.classes != Layout::any_class) {
        in_range = in_range & (decided.predicted >= 0) & (decided.predicted < layout.classes);
      }
      break;
  }
  if (rules.ignore_index) {
    const at::Tensor kept = decided.target != *rules.ignore_index;
    decided.refused = (in_range.bitwise_not() & kept).sum().reshape(1);
    decided.valid = in_range & kept;
  } else {
    decided.refused = in_range.bitwise_not().sum().reshape(1);
    decided.valid = in_range;
  }
  return decided;
}

at::Tensor labels_on_device(const Layout& layout, const at::Tensor& like) {
  return at::arange(layout.labels, like.options())
      .reshape({1, layout.labels, 1})
      .expand({layout.outer, layout.labels, layout.places_of_label})
      .reshape(-1);
}

at::Tensor count_on_device(const at::Tensor& index, const at::Tensor& valid, int64_t bins) {
  // Not bincount: on CUDA it reads the greatest value back. What is not valid falls into one bin more.
  const at::Tensor counts = at::zeros({bins + 1}, index.options());
  const at::Tensor counted = valid.to(at::kLong);
  counts.scatter_add_(0, (index - bins) * counted + bins, counted);
  return counts.slice(0, 0, bins);
}

}  // namespace athanor::metrics::detail
