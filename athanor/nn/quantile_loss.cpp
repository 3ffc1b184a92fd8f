// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/quantile_loss.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/maximum.h>

#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/nn/loss_input.hpp"

namespace athanor::loss {

Quantile::Quantile(QuantileOptions options) : options_(std::move(options)) {
  detail::require_option(!options_.quantiles.empty(), "QuantileOptions::quantiles", 0, "at least one quantile");
  for (const double quantile : options_.quantiles) {
    detail::require_option(quantile > 0 && quantile < 1, "QuantileOptions::quantiles", quantile, "between 0 and 1");
  }
}

at::Tensor Quantile::by_element(const at::Tensor& predictions, const at::Tensor& target) const {
  const detail::FullPrecision full;
  at::Tensor x = detail::in_full(predictions, "loss::Quantile");
  const auto count = static_cast<int64_t>(options_.quantiles.size());
  if (count == 1 && target.defined() && x.sizes() == target.sizes()) x = x.unsqueeze(-1);
  const bool fits = target.defined() && x.dim() == target.dim() + 1 && x.size(-1) == count &&
                    x.sizes().slice(0, static_cast<size_t>(target.dim())) == target.sizes();
  if (!fits) {
    throw Error({.what = "the target does not fit the predictions",
                 .where = "loss::Quantile",
                 .got = describe(predictions) + " and " + describe(target),
                 .expected = "predictions (N, …, " + std::to_string(count) + ") for targets (N, …)"});
  }
  const at::Tensor y = target.to(x.scalar_type());
  detail::require_finite("loss::Quantile", "target", y);
  const at::Tensor error = y.unsqueeze(-1) - x;
  const at::Tensor quantiles = detail::numbers_like(options_.quantiles, x);
  return at::maximum(quantiles * error, (quantiles - 1) * error).mean(-1);
}

at::Tensor Quantile::operator()(const at::Tensor& predictions, const at::Tensor& target) const {
  return by_element(predictions, target).mean();
}

}  // namespace athanor::loss
