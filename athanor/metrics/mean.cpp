// SPDX-License-Identifier: Apache-2.0
// The mean of a value that a model gives.
#include "athanor/metrics/mean.hpp"

#include <ATen/core/grad_mode.h>

#include "athanor/metrics/elements.hpp"

namespace athanor::metrics {

void Mean::update(const at::Tensor& values) {
  detail::check_pair(values, values, "mean");
  const auto count = static_cast<double>(values.numel());
  if (count == 0) return;
  if (values.is_cpu()) {
    const double total = detail::with_pair(values, values, [](const auto* from, const auto*, int64_t n) {
      return detail::sum(n, [&](int64_t i) { return static_cast<double>(from[i]); });
    });
    mean_.update(total / count, count);
  } else {
    const at::NoGradGuard no_grad;
    mean_.update(values.to(detail::widest_on(values.device())).mean(), count);
  }
}

Mean mean() { return {}; }

double mean(const at::Tensor& values) {
  Mean metric;
  metric.update(values);
  return metric.compute();
}

}  // namespace athanor::metrics
