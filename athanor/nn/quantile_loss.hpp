// SPDX-License-Identifier: Apache-2.0
// Quantile regression.
//
//     .loss = athanor::loss::Quantile({.quantiles = {0.1, 0.5, 0.9}})
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace athanor::loss {

struct QuantileOptions {
  std::vector<double> quantiles = {0.5};  ///< Each between 0 and 1.
};

/// The pinball loss (Koenker & Bassett, 1978): the mean over targets (N, …) and quantiles of max(q e, (q - 1) e), e
/// being target - prediction. Predictions are (N, …, Q), the last dimension for the quantiles; of a single quantile
/// they may have the shape of the target. For the median it is half the mean absolute error. What holds for all losses
/// is in classification_loss.hpp.
class Quantile {
 public:
  /// Throws Error for quantiles out of range, and for none.
  explicit Quantile(QuantileOptions options = {});
  /// Throws Error for shapes that do not fit and, on the CPU, for targets that are not finite.
  at::Tensor operator()(const at::Tensor& predictions, const at::Tensor& target) const;
  /// (N, …), the mean over the quantiles.
  [[nodiscard]] at::Tensor by_element(const at::Tensor& predictions, const at::Tensor& target) const;

 private:
  QuantileOptions options_;
};

}  // namespace athanor::loss
