// SPDX-License-Identifier: Apache-2.0
// Between the element types of .pt files and those of LibTorch. Internal.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "athanor/checkpoint/torch_index.hpp"

namespace athanor {

[[nodiscard]] at::ScalarType to_aten(TorchType type) noexcept;
/// None for quantized types and those that no file can hold.
[[nodiscard]] std::optional<TorchType> torch_type_of(at::ScalarType type) noexcept;

}  // namespace athanor
