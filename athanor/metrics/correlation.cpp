// SPDX-License-Identifier: Apache-2.0
// Pearson's correlation and Lin's concordance.
#include "athanor/metrics/correlation.hpp"

#include <algorithm>
#include <cmath>

#include "athanor/metrics/once.hpp"

namespace athanor::metrics {

double PearsonCorrelation::compute() const {
  return detail::mean_over_outputs(moments_.read(), [](const detail::Moments& of) {
    const double value = of.xy / (std::sqrt(of.xx) * std::sqrt(of.yy));
    return std::isnan(value) ? value : std::clamp(value, -1.0, 1.0);
  });
}

double ConcordanceCorrelation::compute() const {
  const double divisor = static_cast<double>(moments_.samples()) - 1;
  return detail::mean_over_outputs(moments_.read(), [&](const detail::Moments& of) {
    const double apart = of.mean_x - of.mean_y;
    return 2 * of.xy / (of.xx + of.yy + divisor * apart * apart);
  });
}

PearsonCorrelation pearson() { return {}; }
ConcordanceCorrelation concordance() { return {}; }

double pearson(const at::Tensor& predictions, const at::Tensor& target) { return once(pearson(), predictions, target); }
double concordance(const at::Tensor& predictions, const at::Tensor& target) {
  return once(concordance(), predictions, target);
}

}  // namespace athanor::metrics
