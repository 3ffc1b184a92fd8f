// SPDX-License-Identifier: Apache-2.0
// Elements of tensors as plain bytes: converted as LibTorch converts them, without it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "athanor/checkpoint/safetensors_index.hpp"
#include "athanor/checkpoint/torch_index.hpp"

namespace athanor::command {

/// Whether `decode` knows the type: float64, float32, float16, bfloat16, float8_e5m2 and float8_e4m3fn.
[[nodiscard]] bool is_decodable(TorchType type) noexcept;

/// Elements of a decodable type as float64, exactly. `bytes` holds as many elements as `values`.
void decode(TorchType type, std::span<const std::byte> bytes, std::span<double> values);

/// float64 as float64, float32, float16 or bfloat16, to the nearest and of two the even one, by way of float32 as
/// `tensor.to(dtype)` does it. Returns how many finite values became infinite.
std::size_t encode(TorchType type, std::span<const double> values, std::span<std::byte> bytes);

/// The type of that name among those that `encode` writes.
[[nodiscard]] std::optional<TorchType> encodable_type(std::string_view name) noexcept;

[[nodiscard]] TorchType torch_type_of(SafetensorsType type) noexcept;
/// None for a type that safetensors files can't hold.
[[nodiscard]] std::optional<SafetensorsType> safetensors_type_of(TorchType type) noexcept;

}  // namespace athanor::command
