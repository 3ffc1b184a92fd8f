// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/exponentials.hpp"

#include <bit>

#include "athanor/core/processor.hpp"

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define ATHANOR_EXPONENTIALS_AVX2 1
#endif

namespace athanor::metrics::detail {
namespace {

constexpr double least_exponent = -708;

/// exp(x) of x from the least to 0 is 2^n exp(r), n whole, |r| <= log(2) / 2. Taylor's series of exp(r) ends where its
/// rest, r^14 / 14!, is below 5e-18.
inline __attribute__((always_inline)) double exponential_below_zero(double x) noexcept {
  constexpr double log2_of_e = 0x1.71547652b82fep0;
  constexpr double log_of_2_high = 0x1.62e42fefa0000p-1, log_of_2_low = 0x1.cf79abc9e3b3ap-40;
  constexpr double rounds_to_whole = 0x1.8p52;
  constexpr double inverse_factorials[] = {
      1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
      1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0};
  const double shifted = x * log2_of_e + rounds_to_whole;
  const double whole = shifted - rounds_to_whole;
  const double rest = (x - whole * log_of_2_high) - whole * log_of_2_low;
  double series = inverse_factorials[0];
  for (int i = 1; i < 14; ++i) series = series * rest + inverse_factorials[i];
  constexpr uint64_t bias = 1023, fraction_bits = 52;
  return series * std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + bias) << fraction_bits);
}

inline __attribute__((always_inline)) void replace_all(double* values, int64_t count) noexcept {
  // In a loop of its own: for one value at a time the compiler makes a branch of it.
  for (int64_t i = 0; i < count; ++i) values[i] = values[i] < least_exponent ? least_exponent : values[i];
  for (int64_t i = 0; i < count; ++i) values[i] = exponential_below_zero(values[i]);
}

void replace_all_portable(double* values, int64_t count) noexcept { replace_all(values, count); }

#if defined(ATHANOR_EXPONENTIALS_AVX2)
__attribute__((target("avx2,fma"), optimize("O3"))) void replace_all_avx2(double* values, int64_t count) noexcept {
  replace_all(values, count);
}
#endif

}  // namespace

void exponentials_below_zero(double* values, int64_t count) noexcept {
#if defined(ATHANOR_EXPONENTIALS_AVX2)
  if (has_avx2()) return replace_all_avx2(values, count);
#endif
  replace_all_portable(values, count);
}

}  // namespace athanor::metrics::detail
