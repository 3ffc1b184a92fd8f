// SPDX-License-Identifier: Apache-2.0
// Joining the results of batches.
#pragma once

#include <vector>

#include "athanor/core/tree.hpp"

namespace athanor {

/// Trees of one structure, joined leaf by leaf along dimension 0. Tensors without dimensions are stacked. Empty for no
/// parts. Throws Error when the structures differ.
[[nodiscard]] Tree concatenate(const std::vector<Tree>& parts);

}  // namespace athanor
