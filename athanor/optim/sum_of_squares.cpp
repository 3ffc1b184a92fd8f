// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/sum_of_squares.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "athanor/core/processor.hpp"

#if defined(__GNUC__) && defined(__x86_64__)
#define ATHANOR_SUM_OF_SQUARES_AVX2 1
#include <immintrin.h>
#endif

namespace athanor {
namespace {

/// Each of 64 sums in float32 takes 16 squares before they go into float64.
constexpr int64_t lanes = 64;
constexpr int64_t run = 16 * lanes;

/// Below this, squares that float32 rounds to 0 might be a part of the sum that counts: 2^16 of them are 8e-34 at most.
constexpr double smallest_trusted = 1e-25;
constexpr int64_t piece = int64_t{1} << 16;

double sum_in_double(const float* values, int64_t count) noexcept {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

double rest_of_run(const float* values, int64_t count) noexcept {
  std::array<double, 8> sums{};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) {
      const double value = values[i + lane];
      sums[static_cast<size_t>(lane)] += value * value;
    }
  }
  double sum = 0;
  for (const double lane : sums) sum += lane;
  return sum + sum_in_double(values + i, count - i);
}

double sum_of_runs(const float* values, int64_t count) noexcept {
  std::array<double, lanes> sums{};
  for (int64_t i = 0; i < count; i += run) {
    std::array<float, lanes> squares{};
    for (int64_t j = i; j < i + run; j += lanes) {
      for (int64_t lane = 0; lane < lanes; ++lane)
        squares[static_cast<size_t>(lane)] += values[j + lane] * values[j + lane];
    }
    for (size_t lane = 0; lane < lanes; ++lane) sums[lane] += squares[lane];
  }
  double sum = 0;
  for (const double lane : sums) sum += lane;
  return sum;
}

#if defined(ATHANOR_SUM_OF_SQUARES_AVX2)

#define ATHANOR_AVX2_FMA __attribute__((target("avx2,fma")))

ATHANOR_AVX2_FMA inline double sum_of_lanes(__m256d sums) noexcept {
  alignas(32) std::array<double, 4> lane;
  _mm256_store_pd(lane.data(), sums);
  return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

ATHANOR_AVX2_FMA double sum_of_runs_avx2(const float* values, int64_t count) noexcept {
  __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
  for (int64_t i = 0; i < count; i += run) {
    __m256 squares[8];
    for (auto& sum : squares) sum = _mm256_setzero_ps();
    for (int64_t j = i; j < i + run; j += lanes) {
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        const __m256 value = _mm256_loadu_ps(values + j + int64_t{8} * k);
        squares[k] = _mm256_fmadd_ps(value, value, squares[k]);
      }
    }
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(squares[k])));
      high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(squares[k], 1)));
    }
  }
  return sum_of_lanes(_mm256_add_pd(low, high));
}

ATHANOR_AVX2_FMA double sum_of_squares_avx2(const double* values, int64_t count) noexcept {
  __m256d sums[8];
  for (auto& sum : sums) sum = _mm256_setzero_pd();
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const __m256d value = _mm256_loadu_pd(values + i + int64_t{4} * k);
      sums[k] = _mm256_fmadd_pd(value, value, sums[k]);
    }
  }
  for (int k = 1; k < 8; ++k) sums[0] = _mm256_add_pd(sums[0], sums[k]);
  double sum = sum_of_lanes(sums[0]);
  for (; i < count; ++i) sum += values[i] * values[i];
  return sum;
}

/// Zero times a number is 0, and NaN when the number is not finite: one instruction for `bytes` of them.
template <int bytes, class T>
[[gnu::always_inline]] inline bool all_finite_by_zeros(const T* values, int64_t count) noexcept {
  typedef T Vector __attribute__((vector_size(bytes)));
  typedef T Unaligned __attribute__((vector_size(bytes), aligned(alignof(T)), may_alias));
  constexpr int64_t size = bytes / sizeof(T), ways = 8;
  Vector sums[ways];
#pragma GCC unroll 8
  for (int64_t k = 0; k < ways; ++k) sums[k] = Vector{};
  int64_t i = 0;
  for (; i + ways * size <= count; i += ways * size) {
#pragma GCC unroll 8
    for (int64_t k = 0; k < ways; ++k) sums[k] += *reinterpret_cast<const Unaligned*>(values + i + k * size) * T(0);
  }
#pragma GCC unroll 8
  for (int64_t k = 1; k < ways; ++k) sums[0] += sums[k];
  T sum = 0;
  for (int64_t k = 0; k < size; ++k) sum += sums[0][k];
  return sum == 0 && all_finite_portable(values + i, count - i);
}

template <class T>
ATHANOR_AVX2_FMA bool all_finite_avx2(const T* values, int64_t count) noexcept {
  return all_finite_by_zeros<32>(values, count);
}

template <class T>
[[gnu::target("avx512f")]] bool all_finite_avx512(const T* values, int64_t count) noexcept {
  return all_finite_by_zeros<64>(values, count);
}

#endif

using Runs = double(const float*, int64_t) noexcept;

double sum_by_pieces(const float* values, int64_t count, Runs& sum_runs) noexcept {
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t size = count - begin < piece ? count - begin : piece;
    const int64_t whole = size / run * run;
    const double runs = sum_runs(values + begin, whole);
    const bool trusted = whole == 0 || (runs >= smallest_trusted && runs <= std::numeric_limits<double>::max());
    total += trusted ? runs : rest_of_run(values + begin, whole);
    total += rest_of_run(values + begin + whole, size - whole);
  }
  return total;
}

template <class T>
bool all_finite_by_bits(const T* values, int64_t count) noexcept {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr Bits exponent = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
  Bits found = 0;
  for (int64_t i = 0; i < count; ++i) found |= (std::bit_cast<Bits>(values[i]) & exponent) == exponent ? 1U : 0U;
  return found == 0;
}

}  // namespace

double sum_of_squares_portable(const float* values, int64_t count) noexcept {
  return sum_by_pieces(values, count, sum_of_runs);
}

double sum_of_squares_portable(const double* values, int64_t count) noexcept {
  std::array<double, 8> sums{};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) sums[static_cast<size_t>(lane)] += values[i + lane] * values[i + lane];
  }
  double sum = 0;
  for (const double lane : sums) sum += lane;
  for (; i < count; ++i) sum += values[i] * values[i];
  return sum;
}

bool all_finite_portable(const float* values, int64_t count) noexcept { return all_finite_by_bits(values, count); }
bool all_finite_portable(const double* values, int64_t count) noexcept { return all_finite_by_bits(values, count); }

double sum_of_squares(const float* values, int64_t count) noexcept {
#if defined(ATHANOR_SUM_OF_SQUARES_AVX2)
  if (has_avx2()) return sum_by_pieces(values, count, sum_of_runs_avx2);
#endif
  return sum_of_squares_portable(values, count);
}

double sum_of_squares(const double* values, int64_t count) noexcept {
#if defined(ATHANOR_SUM_OF_SQUARES_AVX2)
  if (has_avx2()) return sum_of_squares_avx2(values, count);
#endif
  return sum_of_squares_portable(values, count);
}

bool all_finite(const float* values, int64_t count) noexcept {
#if defined(ATHANOR_SUM_OF_SQUARES_AVX2)
  if (has_avx512()) return all_finite_avx512(values, count);
  if (has_avx2()) return all_finite_avx2(values, count);
#endif
  return all_finite_portable(values, count);
}

bool all_finite(const double* values, int64_t count) noexcept {
#if defined(ATHANOR_SUM_OF_SQUARES_AVX2)
  if (has_avx512()) return all_finite_avx512(values, count);
  if (has_avx2()) return all_finite_avx2(values, count);
#endif
  return all_finite_portable(values, count);
}

}  // namespace athanor
