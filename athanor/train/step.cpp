// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/step.hpp"

#include "athanor/train/meter.hpp"

namespace athanor {

void StepContext::log(std::string_view name, const at::Tensor& value) {
  if (meter_ != nullptr) meter_->log(name, value, samples_);
}

void StepContext::log(std::string_view name, double value) {
  if (meter_ != nullptr) meter_->log(name, value, samples_);
}

}  // namespace athanor
