// SPDX-License-Identifier: Apache-2.0
// Sum, minimum and maximum of the elements that a model gives.
#include "athanor/metrics/elementwise.hpp"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/metrics/elements.hpp"

namespace athanor::metrics {
namespace {

/// Of tensors on the CPU: `step(so_far, element)` through all elements.
template <class Step>
double reduce_elements(const at::Tensor& values, double start, Step step) {
  return detail::with_pair(values, values, [&](const auto* from, const auto*, int64_t n) {
    double so_far = start;
    for (int64_t i = 0; i < n; ++i) so_far = step(so_far, static_cast<double>(from[i]));
    return so_far;
  });
}

/// The more extreme of two numbers; NaN wins.
template <class Better>
double more_extreme_of(double a, double b, Better better) {
  return std::isnan(a) || better(a, b) ? a : b;
}

template <class R>
double once_elements(R metric, const at::Tensor& values) {
  metric.update(values);
  return metric.compute();
}

}  // namespace

namespace detail {

void reduce_into(Sum& into, const at::Tensor& values) {
  check_pair(values, values, "sum");
  if (values.numel() == 0) return;
  if (values.is_cpu()) {
    into.update(with_pair(values, values, [](const auto* from, const auto*, int64_t n) {
      return sum(n, [&](int64_t i) { return static_cast<double>(from[i]); });
    }));
    return;
  }
  const at::NoGradGuard no_grad;
  into.update(values.to(widest_on(values.device())).sum());
}

void reduce_into(Minimum& into, const at::Tensor& values) {
  check_pair(values, values, "minimum");
  if (values.numel() == 0) return;
  if (values.is_cpu()) {
    const auto least = [](double a, double b) { return more_extreme_of(a, b, std::less<>()); };
    into.update(reduce_elements(values, std::numeric_limits<double>::infinity(), least));
    return;
  }
  const at::NoGradGuard no_grad;
  into.update(values.amin());
}

void reduce_into(Maximum& into, const at::Tensor& values) {
  check_pair(values, values, "maximum");
  if (values.numel() == 0) return;
  if (values.is_cpu()) {
    const auto greatest = [](double a, double b) { return more_extreme_of(a, b, std::greater<>()); };
    into.update(reduce_elements(values, -std::numeric_limits<double>::infinity(), greatest));
    return;
  }
  const at::NoGradGuard no_grad;
  into.update(values.amax());
}

template <class R, Reduction reduction>
double Elementwise<R, reduction>::compute() const {
  if (empty()) {
    throw Error({.what = "a metric was asked for its value before anything was seen",
                 .where = name(),
                 .expected = "at least one element",
                 .todo = "call update() first"});
  }
  return reduced_.compute();
}

template class Elementwise<Sum, Reduction::sum>;
template class Elementwise<Minimum, Reduction::minimum>;
template class Elementwise<Maximum, Reduction::maximum>;

}  // namespace detail

ElementSum sum() { return {}; }
ElementMinimum minimum() { return {}; }
ElementMaximum maximum() { return {}; }

double sum(const at::Tensor& values) { return once_elements(sum(), values); }
double minimum(const at::Tensor& values) { return once_elements(minimum(), values); }
double maximum(const at::Tensor& values) { return once_elements(maximum(), values); }

}  // namespace athanor::metrics
