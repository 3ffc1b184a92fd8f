// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/probabilities.hpp"

#include <ATen/TensorOperators.h>

namespace athanor::metrics::detail {

at::Tensor threshold_below_on_device(const at::Tensor& probabilities, int64_t count) {
  const auto last = static_cast<double>(count - 1);
  at::Tensor guess = (probabilities * last).floor().clamp(0, last);
  guess = (guess + ((guess + 1) / last <= probabilities)).clamp(0, last);
  guess = guess - (guess / last > probabilities).to(guess.scalar_type());
  // A cast of NaN is any number.
  return guess.masked_fill(guess != guess, 0).clamp(0, last).to(at::kLong);
}

}  // namespace athanor::metrics::detail
