// SPDX-License-Identifier: Apache-2.0
// Where a forward pass failed, and what was there.
#pragma once

#include <exception>
#include <vector>

#include "athanor/core/tree.hpp"
#include "athanor/train/layer_trace.hpp"
#include "athanor/train/layer_tree.hpp"

namespace athanor {

/// Throws Error that names the layer and its input. `operators` are those up to the one that failed.
[[noreturn]] void explain_forward_failure(const LayerTree& tree, const std::vector<TracedOperator>& operators,
                                          const Tree& example, const std::exception& exception);

}  // namespace athanor
