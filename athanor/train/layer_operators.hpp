// SPDX-License-Identifier: Apache-2.0
// Which operator makes the output of a layer of LibTorch.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "athanor/train/layer_tree.hpp"

namespace athanor {

struct LayerOperators {
  /// One of them runs in each forward(); its result is that of the layer. Names as `relu`, without `aten::` and without
  /// the `_` of an operator in place.
  std::vector<std::string_view> main;
  /// One of them may follow at once, and then its result is that of the layer: the bias of a Linear.
  std::vector<std::string_view> then = {};
};

/// Null for what is not a leaf, or a class that is not known.
[[nodiscard]] const LayerOperators* operators_of(const LayerNode& node);

/// `relu` for `relu_`.
[[nodiscard]] std::string_view without_underscore(std::string_view op) noexcept;
[[nodiscard]] bool is_among(std::string_view op, std::span<const std::string_view> names) noexcept;

/// Activation functions that bend each number by itself: relu, tanh, sigmoid, …
[[nodiscard]] bool is_activation_function(std::string_view op) noexcept;

/// The order in which LibTorch's own composite layers run their children without tensors, where it is not that of their
/// registration; empty for others.
[[nodiscard]] std::span<const std::string_view> order_of_execution(const LayerNode& node) noexcept;
/// The child whose output is that of the layer, for a composite layer of LibTorch that does more after it.
[[nodiscard]] std::string_view child_with_output(const LayerNode& node) noexcept;

}  // namespace athanor
