// SPDX-License-Identifier: Apache-2.0
// Which layer each operator of a forward pass belongs to.
#pragma once

#include <optional>
#include <vector>

#include "athanor/train/layer_trace.hpp"
#include "athanor/train/layer_tree.hpp"

namespace athanor {

/// How sure it is that an operator belongs to a layer.
enum class MatchedBy {
  parameters,  ///< It reads parameters or buffers of the layer.
  sequence,    ///< The layer has none, and a Sequential runs its children one after the other.
  only_one,    ///< The layer is the only one of its kind in the module around it, whose forward() is not known.
  order,       ///< There are several of its kind: they were taken in the order in which they were registered.
};

/// One run of a layer whose result is that of one operator.
struct LayerCall {
  size_t layer;  ///< Number of the node.
  size_t op;     ///< Number of the operator whose first result is that of the layer.
  MatchedBy by;
  /// Another operator of this kind, with a result of another shape, might have been meant.
  bool shape_is_sure = true;
};

struct LayerMatch {
  std::vector<LayerCall> calls;  ///< In the order in which they ran.
  /// For each operator the node whose parameters it reads, or that it was matched with; unset for what a forward() does
  /// between its layers.
  std::vector<std::optional<size_t>> layers;
  /// For each operator the innermost node that it is surely a part of.
  std::vector<size_t> within;
};

/// Operators that read parameters belong to the layer that holds these. What lies between is given to layers without
/// parameters, in the order of execution: the children of a Sequential one after the other; in other modules an
/// operator of the layer's kind that runs inside of the module. What fits no layer belongs to none.
[[nodiscard]] LayerMatch match_layers(const LayerTree& tree, const std::vector<TracedOperator>& operators);

}  // namespace athanor
