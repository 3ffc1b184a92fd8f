// SPDX-License-Identifier: Apache-2.0
// R² and explained variance.
#include "athanor/metrics/r2.hpp"

#include <cmath>

#include "athanor/metrics/once.hpp"

namespace athanor::metrics {
namespace {

double explained_part(double unexplained, double spread) {
  if (spread == 0) return unexplained == 0 ? 1.0 : std::isnan(unexplained) ? unexplained : 0.0;
  return 1 - unexplained / spread;
}

}  // namespace

double R2::compute() const {
  const auto samples = static_cast<double>(moments_.samples());
  return detail::mean_over_outputs(moments_.read(), [&](const detail::Moments& of) {
    return explained_part(of.xx + samples * of.mean_x * of.mean_x, of.yy);
  });
}

double ExplainedVariance::compute() const {
  return detail::mean_over_outputs(moments_.read(),
                                   [](const detail::Moments& of) { return explained_part(of.xx, of.yy); });
}

R2 r2() { return {}; }
ExplainedVariance explained_variance() { return {}; }

double r2(const at::Tensor& predictions, const at::Tensor& target) { return once(r2(), predictions, target); }
double explained_variance(const at::Tensor& predictions, const at::Tensor& target) {
  return once(explained_variance(), predictions, target);
}

}  // namespace athanor::metrics
