// SPDX-License-Identifier: Apache-2.0
// Sums, extremes and bins of float32 numbers in memory, for TensorSums.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace athanor::detail {

/// The number of a bin is the upper 12 bits of the float32s in it: sign, exponent and three bits.
constexpr int bin_shift = 20;
constexpr uint32_t bin_count = 1U << (32 - bin_shift);
constexpr uint32_t first_negative_bin = bin_count / 2;
/// Of infinity and NaN, the sign apart.
constexpr uint32_t first_non_finite_bin = 0x7f8;

/// By number; empty bins are left out.
using NumberBins = std::vector<std::pair<uint16_t, int64_t>>;

/// Of finite numbers. Sums are float64.
struct NumberSums {
  double sum = 0;
  double squares = 0;
  float minimum = std::numeric_limits<float>::infinity();
  float maximum = -std::numeric_limits<float>::infinity();
  int64_t zeros = 0;
};

/// The most numbers for one call of `bins_of`.
constexpr int64_t largest_piece = int64_t{1} << 17;

[[nodiscard]] NumberBins bins_of(const float* numbers, int64_t size);
[[nodiscard]] bool are_finite(const NumberBins& bins);
[[nodiscard]] NumberSums sums_of_finite(const float* numbers, int64_t size);

struct ChangeSquares {
  double change = 0;  ///< The sum of (after - before)².
  double before = 0;  ///< The sum of before².
};
[[nodiscard]] ChangeSquares squares_of_change(const float* before, const float* after, int64_t size);

}  // namespace athanor::detail
