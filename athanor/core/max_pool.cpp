// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/max_pool.hpp"

#include <bit>

#include "athanor/core/processor.hpp"

#if defined(__GNUC__) && defined(__x86_64__)
#define ATHANOR_MAX_POOL_AVX2 1
#include <immintrin.h>
#endif

namespace athanor {
namespace {

/// A value and where it lies, while a window is being searched.
struct Largest {
  uint32_t bits;
  int32_t index;
};

/// Which of two is the larger, where `second` comes later in the window. Written with masks: the maximum of a window
/// lies anywhere, so a branch would be mispredicted most of the time.
inline Largest larger(Largest first, Largest second) {
  const auto a = std::bit_cast<float>(first.bits), b = std::bit_cast<float>(second.bits);
  const uint32_t take_second = -static_cast<uint32_t>(static_cast<int>(b > a) | static_cast<int>(b != b));
  return {.bits = (second.bits & take_second) | (first.bits & ~take_second),
          .index = static_cast<int32_t>((static_cast<uint32_t>(second.index) & take_second) |
                                        (static_cast<uint32_t>(first.index) & ~take_second))};
}

/// One row of windows; `index` is that of its first value.
inline void pool_row(const float* upper, const float* lower, float* output, int64_t* indices, int32_t index,
                     int32_t width, int64_t windows) {
  for (int64_t j = 0; j < windows; ++j) {
    const int64_t column = 2 * j;
    const int32_t at = index + static_cast<int32_t>(column);
    const Largest above =
        larger({std::bit_cast<uint32_t>(upper[column]), at}, {std::bit_cast<uint32_t>(upper[column + 1]), at + 1});
    const Largest below = larger({std::bit_cast<uint32_t>(lower[column]), at + width},
                                 {std::bit_cast<uint32_t>(lower[column + 1]), at + width + 1});
    const Largest result = larger(above, below);
    output[j] = std::bit_cast<float>(result.bits);
    indices[j] = result.index;
  }
}

#if defined(ATHANOR_MAX_POOL_AVX2)

#define ATHANOR_AVX2 __attribute__((target("avx2"), always_inline)) inline

/// All ones where `b`, which comes later, takes the place of `a`.
ATHANOR_AVX2 __m256 takes_second(__m256 a, __m256 b) {
  return _mm256_or_ps(_mm256_cmp_ps(b, a, _CMP_GT_OQ), _mm256_cmp_ps(b, b, _CMP_UNORD_Q));
}

ATHANOR_AVX2 __m128 takes_second(__m128 a, __m128 b) {
  return _mm_or_ps(_mm_cmp_ps(b, a, _CMP_GT_OQ), _mm_cmp_ps(b, b, _CMP_UNORD_Q));
}

/// Eight windows. `index` is that of each window's first value, in the order 0 1 4 5 2 3 6 7, which is how values come
/// out of a shuffle that stays within halves of a register.
ATHANOR_AVX2 void pool_8(const float* upper, const float* lower, float* output, int64_t* indices, __m256i index,
                         __m256i width) {
  const __m256 u0 = _mm256_loadu_ps(upper), u1 = _mm256_loadu_ps(upper + 8);
  const __m256 l0 = _mm256_loadu_ps(lower), l1 = _mm256_loadu_ps(lower + 8);
  const __m256 a = _mm256_shuffle_ps(u0, u1, 0x88), b = _mm256_shuffle_ps(u0, u1, 0xdd);
  const __m256 c = _mm256_shuffle_ps(l0, l1, 0x88), d = _mm256_shuffle_ps(l0, l1, 0xdd);

  const __m256 right_above = takes_second(a, b), right_below = takes_second(c, d);
  const __m256 above = _mm256_blendv_ps(a, b, right_above), below = _mm256_blendv_ps(c, d, right_below);
  const __m256 is_below = takes_second(above, below);
  // A mask is -1 as an integer: subtracting it moves the index by one column.
  const __m256i index_above = _mm256_sub_epi32(index, _mm256_castps_si256(right_above));
  const __m256i index_below = _mm256_sub_epi32(_mm256_add_epi32(index, width), _mm256_castps_si256(right_below));

  const __m256 value = _mm256_blendv_ps(above, below, is_below);
  const __m256i where = _mm256_blendv_epi8(index_above, index_below, _mm256_castps_si256(is_below));
  const __m256i in_order = _mm256_permute4x64_epi64(where, _MM_SHUFFLE(3, 1, 2, 0));
  _mm256_storeu_pd(reinterpret_cast<double*>(output),
                   _mm256_permute4x64_pd(_mm256_castps_pd(value), _MM_SHUFFLE(3, 1, 2, 0)));
  auto* to = reinterpret_cast<__m256i*>(indices);
  _mm256_storeu_si256(to, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(in_order)));
  _mm256_storeu_si256(to + 1, _mm256_cvtepi32_epi64(_mm256_extracti128_si256(in_order, 1)));
}

/// Four windows, in order.
ATHANOR_AVX2 void pool_4(const float* upper, const float* lower, float* output, int64_t* indices, __m128i index,
                         __m128i width) {
  const __m128 u0 = _mm_loadu_ps(upper), u1 = _mm_loadu_ps(upper + 4);
  const __m128 l0 = _mm_loadu_ps(lower), l1 = _mm_loadu_ps(lower + 4);
  const __m128 a = _mm_shuffle_ps(u0, u1, 0x88), b = _mm_shuffle_ps(u0, u1, 0xdd);
  const __m128 c = _mm_shuffle_ps(l0, l1, 0x88), d = _mm_shuffle_ps(l0, l1, 0xdd);

  const __m128 right_above = takes_second(a, b), right_below = takes_second(c, d);
  const __m128 above = _mm_blendv_ps(a, b, right_above), below = _mm_blendv_ps(c, d, right_below);
  const __m128 is_below = takes_second(above, below);
  const __m128i index_above = _mm_sub_epi32(index, _mm_castps_si128(right_above));
  const __m128i index_below = _mm_sub_epi32(_mm_add_epi32(index, width), _mm_castps_si128(right_below));

  _mm_storeu_ps(output, _mm_blendv_ps(above, below, is_below));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(indices),
                      _mm256_cvtepi32_epi64(_mm_blendv_epi8(index_above, index_below, _mm_castps_si128(is_below))));
}

/// The last block of a row overlaps the one before it, so that only rows of fewer than four windows go value by value.
__attribute__((target("avx2"))) void max_pool_2x2_avx2(const float* input, float* output, int64_t* indices,
                                                       int64_t height, int64_t width) {
  const int64_t rows = height / 2, columns = width / 2;
  const auto width32 = static_cast<int32_t>(width);
  const __m256i width_8 = _mm256_set1_epi32(width32);
  const __m128i width_4 = _mm256_castsi256_si128(width_8);
  const __m256i order_8 = _mm256_setr_epi32(0, 2, 8, 10, 4, 6, 12, 14);
  const __m128i order_4 = _mm_setr_epi32(0, 2, 4, 6);
  for (int64_t i = 0; i < rows; ++i) {
    const float* upper = input + 2 * i * width;
    const float* lower = upper + width;
    float* values = output + i * columns;
    int64_t* where = indices + i * columns;
    const auto index = static_cast<int32_t>(2 * i * width);
    const auto eight = [&](int64_t j) __attribute__((target("avx2"), always_inline)) {
      pool_8(upper + 2 * j, lower + 2 * j, values + j, where + j,
             _mm256_add_epi32(_mm256_set1_epi32(index + static_cast<int32_t>(2 * j)), order_8), width_8);
    };
    const auto four = [&](int64_t j) __attribute__((target("avx2"), always_inline)) {
      pool_4(upper + 2 * j, lower + 2 * j, values + j, where + j,
             _mm_add_epi32(_mm_set1_epi32(index + static_cast<int32_t>(2 * j)), order_4), width_4);
    };
    if (columns >= 8) {
      int64_t j = 0;
      for (; j + 8 <= columns; j += 8) eight(j);
      if (j < columns) eight(columns - 8);
    } else if (columns >= 4) {
      four(0);
      if (columns > 4) four(columns - 4);
    } else {
      pool_row(upper, lower, values, where, index, width32, columns);
    }
  }
}

#endif

}  // namespace

void max_pool_2x2_portable(const float* input, float* output, int64_t* indices, int64_t height,
                           int64_t width) noexcept {
  const int64_t columns = width / 2;
  for (int64_t i = 0; i < height / 2; ++i) {
    const float* upper = input + 2 * i * width;
    pool_row(upper, upper + width, output + i * columns, indices + i * columns, static_cast<int32_t>(2 * i * width),
             static_cast<int32_t>(width), columns);
  }
}

void max_pool_2x2(const float* input, float* output, int64_t* indices, int64_t height, int64_t width) noexcept {
#if defined(ATHANOR_MAX_POOL_AVX2)
  if (has_avx2()) return max_pool_2x2_avx2(input, output, indices, height, width);
#endif
  max_pool_2x2_portable(input, output, indices, height, width);
}

}  // namespace athanor
