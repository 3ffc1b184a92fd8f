// SPDX-License-Identifier: Apache-2.0
// What an update came to.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace athanor {

struct UpdateResult {
  at::Tensor loss;  ///< Detached scalar on the device: the mean over the samples of the update, unscaled.
  int64_t samples = 0;
  /// With several optimizers: the loss of each that was due; `loss` is the last one.
  std::vector<std::pair<std::string, at::Tensor>> losses{};
  at::Tensor gradient_norm = {};  ///< Before clipping; undefined where it was not needed.
  /// Whether loss and gradients were finite. On the CPU known at once; elsewhere `not_finite` tells, and reading it
  /// waits for the device.
  bool finite = true;
  at::Tensor not_finite = {};  ///< float32 scalar, non-zero when something was not finite; undefined on the CPU.
};

}  // namespace athanor
