// SPDX-License-Identifier: Apache-2.0
// What clipping by norm needs to know of a run of numbers, as fast as they can be read; plain pointers, no LibTorch.
#pragma once

#include <cstdint>

namespace athanor {

/// The sum of the squares, in any order of addition that depends on `count` alone; NaN or infinite when one of the
/// numbers is, or when the sum is no double.
///
/// float32 is summed in runs of 16 squares, the runs in float64: the error is below 2e-6 of the sum whatever the count,
/// and about 1e-8 for numbers of mixed size, where LibTorch's norm loses digits with the count. Squares that are too
/// large or too small for float32 are summed again in float64.
///
/// Takes AVX2 and FMA, or AVX-512, where the processor has them. Keeps no state, any number of threads may call.
[[nodiscard]] double sum_of_squares(const float* values, int64_t count) noexcept;
[[nodiscard]] double sum_of_squares(const double* values, int64_t count) noexcept;

/// Whether no number is NaN or infinite.
[[nodiscard]] bool all_finite(const float* values, int64_t count) noexcept;
[[nodiscard]] bool all_finite(const double* values, int64_t count) noexcept;

/// The same without instructions that not every processor has. Sums may differ by rounding.
[[nodiscard]] double sum_of_squares_portable(const float* values, int64_t count) noexcept;
[[nodiscard]] double sum_of_squares_portable(const double* values, int64_t count) noexcept;
[[nodiscard]] bool all_finite_portable(const float* values, int64_t count) noexcept;
[[nodiscard]] bool all_finite_portable(const double* values, int64_t count) noexcept;

}  // namespace athanor
