// SPDX-License-Identifier: Apache-2.0
// What lies between backward and step and is done inside the step: unscaling, clipping by norm, skipping.
#pragma once

#include <ATen/core/Tensor.h>

namespace athanor {

/// What is done to the gradients inside a step, on their device, without a pass of its own. Undefined parts do nothing.
///
/// After a step with a divisor other than 1, `.grad` holds the divided gradients: LibTorch's kernels write them back,
/// on the CPU and on CUDA. After a skipped step it holds what it held before.
struct GradientScale {
  at::Tensor divisor = {};  ///< float32 scalar on the parameters' device. Gradients are divided by it.
  at::Tensor found_inf =
      {};  ///< float32 scalar, 0 or more. Above 0 the step changes nothing, its step counters neither.
};

}  // namespace athanor
