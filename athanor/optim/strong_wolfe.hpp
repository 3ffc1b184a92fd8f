// SPDX-License-Identifier: Apache-2.0
// A line search that ends where the strong Wolfe conditions hold.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace athanor::optim::detail {

/// A point on the line.
struct LinePoint {
  double t = 0;         ///< The length of the step.
  double loss = 0;      ///< Infinite where the function has no finite value.
  at::Tensor gradient;  ///< Of all parameters, one after the other.
  double slope = 0;     ///< Gradient times direction.
};

struct LineResult {
  LinePoint point;
  int64_t evaluations = 0;
};

/// The lowest point of the cubic through two points with their slopes, within the bounds.
[[nodiscard]] double cubic_minimum(const LinePoint& a, const LinePoint& b, double lowest, double highest);

/// The search of `torch.optim.LBFGS` (after minFunc): brackets, then narrows. `start` is the point at 0, `first` the
/// length of the first trial, `largest` the largest magnitude in the direction. At least one evaluation, at most
/// `most_evaluations` after it.
[[nodiscard]] LineResult strong_wolfe(const std::function<LinePoint(double t)>& evaluate, const LinePoint& start,
                                      double first, double largest, double tolerance_change, int64_t most_evaluations);

}  // namespace athanor::optim::detail
