// SPDX-License-Identifier: Apache-2.0
// Rows of tensors by index, into memory that is used again.
#pragma once

#include <span>

#include "athanor/core/tree.hpp"

namespace athanor {

/// Puts the rows `indices` of every tensor in `source` into `into`, which takes the same structure. A tensor that
/// `into` holds is written over when it has the right layout and nobody else refers to it or its memory; otherwise a
/// new one is made. Indices are not checked.
void gather(const Tree& source, std::span<const int64_t> indices, Tree& into);
/// The same for one tensor; `into` may be undefined.
void gather(const at::Tensor& source, std::span<const int64_t> indices, at::Tensor& into);

}  // namespace athanor
