// SPDX-License-Identifier: Apache-2.0
// From logits to probabilities, on the host; shared by the metrics, not for use outside.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace athanor::metrics::detail {

[[nodiscard]] inline double sigmoid(double logit) { return 1 / (1 + std::exp(-logit)); }

/// log(1 + exp(x)) without overflow.
[[nodiscard]] inline double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// The logarithm of the sum of exponentials; `greatest` is the greatest logit.
template <class Score>
[[nodiscard]] double log_sum_exp(const Score* logits, int64_t classes, double greatest) {
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(logits[c]) - greatest);
  return greatest + std::log(sum);
}

/// `into` may be `logits`.
template <class Score>
void softmax(const Score* logits, int64_t classes, Score* into) {
  const auto greatest = static_cast<double>(*std::max_element(logits, logits + classes));
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(logits[c]) - greatest);
  for (int64_t c = 0; c < classes; ++c) {
    into[c] = static_cast<Score>(std::exp(static_cast<double>(logits[c]) - greatest) / sum);
  }
}

/// The last of the thresholds 0, 1 / (count - 1), …, 1 that is not above `probability`. The first guess may be off by
/// one, because the thresholds are rounded to the dtype of the scores, as those of torchmetrics are.
template <class Score>
[[nodiscard]] int64_t threshold_below(Score probability, int64_t count) {
  const auto last = static_cast<double>(count - 1);
  const auto threshold = [&](int64_t i) { return static_cast<Score>(static_cast<double>(i) / last); };
  auto i = std::min(count - 1, static_cast<int64_t>(static_cast<double>(probability) * last));
  while (i + 1 < count && threshold(i + 1) <= probability) ++i;
  while (i > 0 && threshold(i) > probability) --i;
  return i;
}

/// The same of each element, int64, by operators, without reading anything back; what is no probability gives any of
/// them.
[[nodiscard]] at::Tensor threshold_below_on_device(const at::Tensor& probabilities, int64_t count);

}  // namespace athanor::metrics::detail
