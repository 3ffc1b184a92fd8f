// SPDX-License-Identifier: Apache-2.0
// Max pooling of one plane over 2 x 2 windows that do not overlap, without branches; plain pointers, no LibTorch.
#pragma once

#include <cstdint>

namespace athanor {

/// Writes for each 2 x 2 window of `input` its largest value and where that lies in the plane (`row * width + column`).
/// `output` and `indices` hold `height / 2` rows of `width / 2`; the last row or column of an odd size is left out.
///
/// The rules are those of LibTorch's `max_pool2d_with_indices`, to the bit: the first of equal values wins (so of 0 and
/// -0), the last NaN of a window wins over everything and keeps its payload.
///
/// The plane may have at most 2^31 - 1 values. Reads nothing outside of it, keeps no state, any number of threads may
/// call. Takes AVX2 where the processor has it, else code that any compiler can turn into vector instructions.
void max_pool_2x2(const float* input, float* output, int64_t* indices, int64_t height, int64_t width) noexcept;

/// The same without instructions that not every processor has: what `max_pool_2x2` is where AVX2 is missing.
void max_pool_2x2_portable(const float* input, float* output, int64_t* indices, int64_t height, int64_t width) noexcept;

}  // namespace athanor
