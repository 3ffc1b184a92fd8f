// SPDX-License-Identifier: Apache-2.0
// Joining the results of batches.
#pragma once

#include <vector>

#include "athanor/core/batch.hpp"

namespace athanor {

/// Trees of one structure, joined leaf by leaf along dimension 0. Tensors without dimensions are stacked, lists of
/// texts (is_list_of_texts) are joined. Empty for no parts. Throws Error when the structures differ.
[[nodiscard]] Tree concatenate(const std::vector<Tree>& parts);

/// Batches of one structure as one: what Batch::slice() took apart. Weights are joined when one of them has any; the
/// rows of the others weigh 1. Indices are joined when all have them, the counts are added up, and `part` is that of
/// the first. Throws Error when the structures differ.
[[nodiscard]] Batch concatenate_batches(const std::vector<Batch>& parts);

}  // namespace athanor
