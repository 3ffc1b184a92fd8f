// SPDX-License-Identifier: Apache-2.0
// How many multiply-adds an operator makes.
#pragma once

#include "athanor/train/layer_trace.hpp"

namespace athanor {

/// Matrix products and convolutions with their biases, recurrent layers, attention, and the parameters of
/// normalisations. Summary::multiply_adds has the conventions.
[[nodiscard]] MultiplyAddCounter multiply_add_counter() noexcept;

}  // namespace athanor
