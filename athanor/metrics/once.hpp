// SPDX-License-Identifier: Apache-2.0
// The value of two tensors alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>

#include "athanor/core/tree.hpp"

namespace athanor::metrics {

/// What a metric makes of these tensors alone: a copy of it, reset, is updated once and computed. Every stateless
/// function of this room is this, so that a number has one definition. Waits for the device. Throws what `update` and
/// `compute` throw.
///
///     metrics::once(metrics::recall({.average = metrics::Average::per_class}), scores, target)["1"].real()
template <class M>
[[nodiscard]] auto once(M metric, const at::Tensor& predictions, const at::Tensor& target) {
  metric.reset();
  if constexpr (requires { metric.update(predictions, target); }) {
    metric.update(predictions, target);
  } else {
    metric.update(Tree(predictions), Tree(target), predictions.dim() == 0 ? int64_t{1} : predictions.size(0));
  }
  return metric.compute();
}

namespace detail {

/// `value`, or an Error that names the metric when it is a value for each class.
[[nodiscard]] double single_number(const Tree& value, const std::string& metric);

template <class M>
[[nodiscard]] double number_once(M metric, const at::Tensor& predictions, const at::Tensor& target) {
  const std::string name = metric.name();
  return single_number(Tree(once(std::move(metric), predictions, target)), name);
}

/// Throws Error unless `alike`: two metrics whose options differ have counted different things.
void check_alike(bool alike, const std::string& metric);

}  // namespace detail
}  // namespace athanor::metrics
