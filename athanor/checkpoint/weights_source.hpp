// SPDX-License-Identifier: Apache-2.0
// Loading into existing tensors, from whatever has tensors with names. Internal.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "athanor/checkpoint/safetensors.hpp"

namespace athanor {

/// None for a type that safetensors files can't hold.
[[nodiscard]] std::optional<SafetensorsType> safetensors_type_of(at::ScalarType type) noexcept;

namespace detail {

struct TensorLayout {
  at::ScalarType dtype;
  at::IntArrayRef shape;
};

/// Refers to what it was made of.
struct WeightsSource {
  std::string where;  ///< For messages.
  std::vector<std::string> names;
  std::function<std::optional<TensorLayout>(const std::string& name)> layout;  ///< None for an unknown name.
  std::function<at::Tensor(const std::string& name)> tensor;
};

using Destination = std::span<const std::pair<std::string, at::Tensor>>;

[[nodiscard]] std::optional<TensorLayout> layout_in(const SafetensorsFile& file, const std::string& name);
[[nodiscard]] WeightsReport compare_weights(const WeightsSource& source, Destination destination);
/// Throws Error for the differences that the options do not allow.
void refuse_weights(const WeightsReport& report, const std::string& where, const LoadOptions& options);
/// Both, and copies what fits.
WeightsReport copy_weights(const WeightsSource& source, Destination destination, const LoadOptions& options);

}  // namespace detail
}  // namespace athanor
