// SPDX-License-Identifier: Apache-2.0
// Units of a layer that do the same for every sample.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace athanor {

/// A flag for each index along `dimension` of a floating-point tensor: whether all its numbers are 0. (units,) bool on
/// the device of `values`; of a tensor without dimensions one flag. Does not wait for the device.
[[nodiscard]] at::Tensor always_zero(const at::Tensor& values, int64_t dimension);

/// The same, whether all its numbers are `distance` or more away from `middle`.
[[nodiscard]] at::Tensor always_away(const at::Tensor& values, int64_t dimension, double middle, double distance);

/// How many flags are set. Waits for the device.
[[nodiscard]] int64_t count_set(const at::Tensor& flags);

}  // namespace athanor
