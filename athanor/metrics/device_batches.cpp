// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/device_batches.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

namespace athanor::metrics::detail {

void DeviceBatches::add(const at::Tensor& predictions, const at::Tensor& target) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  batches_.emplace_back(predictions.detach().clone(), target.detach().clone());
}

void DeviceBatches::merge(const DeviceBatches& other) {
  batches_.insert(batches_.end(), other.batches_.begin(), other.batches_.end());
}

}  // namespace athanor::metrics::detail
