// SPDX-License-Identifier: Apache-2.0
// Mean absolute, mean squared and root mean squared error.
#include "athanor/metrics/regression.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "athanor/metrics/elements.hpp"

namespace athanor::metrics {
namespace {

/// Adds the mean of `term(difference)` over the elements; `on_device` does the same to a tensor of differences.
template <class Term, class OnDevice>
void add_errors(WeightedMean& mean, const at::Tensor& predictions, const at::Tensor& target, const char* metric,
                Term term, OnDevice on_device) {
  detail::check_pair(predictions, target, metric);
  const auto count = static_cast<double>(predictions.numel());
  if (count == 0) return;
  if (predictions.is_cpu()) {
    const double total = detail::with_pair(predictions, target, [&](const auto* left, const auto* right, int64_t n) {
      return detail::sum(n,
                         [&](int64_t i) { return term(static_cast<double>(left[i]) - static_cast<double>(right[i])); });
    });
    mean.update(total / count, count);
  } else {
    const at::NoGradGuard no_grad;
    const at::ScalarType wide = detail::widest_on(predictions.device());
    mean.update(on_device(predictions.reshape(-1).to(wide) - target.reshape(-1).to(wide)).mean(), count);
  }
}

template <class M>
double compute_once(M metric, const at::Tensor& predictions, const at::Tensor& target) {
  metric.update(predictions, target);
  return metric.compute();
}

}  // namespace

void MeanAbsoluteError::update(const at::Tensor& predictions, const at::Tensor& target) {
  add_errors(
      mean_, predictions, target, "mean absolute error", [](double difference) { return std::abs(difference); },
      [](const at::Tensor& difference) { return difference.maximum(difference.neg()); });
}

void MeanSquaredError::update(const at::Tensor& predictions, const at::Tensor& target) {
  add_errors(
      mean_, predictions, target, "mean squared error", [](double difference) { return difference * difference; },
      [](const at::Tensor& difference) { return difference * difference; });
}

double RootMeanSquaredError::compute() const { return std::sqrt(squared_.compute()); }

MeanAbsoluteError mae() { return {}; }
MeanSquaredError mse() { return {}; }
RootMeanSquaredError rmse() { return {}; }

double mae(const at::Tensor& predictions, const at::Tensor& target) { return compute_once(mae(), predictions, target); }
double mse(const at::Tensor& predictions, const at::Tensor& target) { return compute_once(mse(), predictions, target); }
double rmse(const at::Tensor& predictions, const at::Tensor& target) {
  return compute_once(rmse(), predictions, target);
}

}  // namespace athanor::metrics
