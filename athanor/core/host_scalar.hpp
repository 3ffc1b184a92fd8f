// SPDX-License-Identifier: Apache-2.0
// Single numbers as tensors on the CPU, made and read without an operator: a dispatch costs more than the number.
#pragma once

#include <ATen/core/Tensor.h>

namespace athanor {

/// A float32 scalar () on the CPU.
[[nodiscard]] at::Tensor make_host_scalar(float value = 0);

/// The number in a tensor of one element on the CPU. Costs no operator for floating dtypes.
[[nodiscard]] double read_host_scalar(const at::Tensor& value);

}  // namespace athanor
