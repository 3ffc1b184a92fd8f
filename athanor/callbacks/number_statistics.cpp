// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/number_statistics.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "athanor/core/processor.hpp"

#if defined(__x86_64__)
#define ATHANOR_STATISTICS_X86 1
#define ATHANOR_STATISTICS_INLINE [[gnu::always_inline]] inline
#if defined(__clang__)
#define ATHANOR_STATISTICS_AVX2 [[gnu::target("avx2,fma")]]
#define ATHANOR_STATISTICS_AVX512 [[gnu::target("avx512f")]]
#else
#define ATHANOR_STATISTICS_AVX2 [[gnu::target("avx2,fma"), gnu::optimize("O3")]]
#define ATHANOR_STATISTICS_AVX512 [[gnu::target("avx512f,prefer-vector-width=512"), gnu::optimize("O3")]]
#endif
#else
#define ATHANOR_STATISTICS_INLINE inline
#endif

namespace athanor::detail {
namespace {

/// `lanes` numbers at a time, so that the compiler finds the same loop in each array.
template <size_t lanes>
ATHANOR_STATISTICS_INLINE NumberSums sums_by_lanes(const float* numbers, int64_t size) {
  std::array<double, lanes> sum{}, squares{};
  std::array<float, lanes> minimum, maximum;
  std::array<int32_t, lanes> zeros{};
  NumberSums all;
  minimum.fill(all.minimum);
  maximum.fill(all.maximum);
  const float* next = numbers;
  const float* const end = numbers + size;
  for (; end - next >= static_cast<int64_t>(lanes); next += lanes) {
    for (size_t lane = 0; lane < lanes; ++lane) {
      const float x = next[lane];
      sum[lane] += x;
      squares[lane] += static_cast<double>(x) * static_cast<double>(x);
    }
    for (size_t lane = 0; lane < lanes; ++lane) {
      const float x = next[lane];
      minimum[lane] = x < minimum[lane] ? x : minimum[lane];
      maximum[lane] = x > maximum[lane] ? x : maximum[lane];
      zeros[lane] += x == 0 ? 1 : 0;
    }
  }
  for (size_t lane = 0; lane < lanes; ++lane) {
    all.sum += sum[lane];
    all.squares += squares[lane];
    all.minimum = std::min(all.minimum, minimum[lane]);
    all.maximum = std::max(all.maximum, maximum[lane]);
    all.zeros += zeros[lane];
  }
  for (; next != end; ++next) {
    const float x = *next;
    all.sum += x;
    all.squares += static_cast<double>(x) * static_cast<double>(x);
    all.minimum = std::min(all.minimum, x);
    all.maximum = std::max(all.maximum, x);
    all.zeros += x == 0 ? 1 : 0;
  }
  return all;
}

template <size_t lanes>
ATHANOR_STATISTICS_INLINE ChangeSquares change_by_lanes(const float* before, const float* after, int64_t size) {
  std::array<double, lanes> change{}, norm{};
  const float* const end = before + size;
  for (; end - before >= static_cast<int64_t>(lanes); before += lanes, after += lanes) {
    for (size_t lane = 0; lane < lanes; ++lane) {
      const double difference = static_cast<double>(after[lane]) - static_cast<double>(before[lane]);
      change[lane] += difference * difference;
    }
    for (size_t lane = 0; lane < lanes; ++lane) {
      const double x = before[lane];
      norm[lane] += x * x;
    }
  }
  ChangeSquares all;
  for (size_t lane = 0; lane < lanes; ++lane) {
    all.change += change[lane];
    all.before += norm[lane];
  }
  for (; before != end; ++before, ++after) {
    const double x = *before;
    const double difference = *after - x;
    all.change += difference * difference;
    all.before += x * x;
  }
  return all;
}

#if defined(ATHANOR_STATISTICS_X86)
ATHANOR_STATISTICS_AVX2 NumberSums sums_avx2(const float* numbers, int64_t size) {
  return sums_by_lanes<16>(numbers, size);
}
ATHANOR_STATISTICS_AVX512 NumberSums sums_avx512(const float* numbers, int64_t size) {
  return sums_by_lanes<32>(numbers, size);
}
ATHANOR_STATISTICS_AVX2 ChangeSquares change_avx2(const float* before, const float* after, int64_t size) {
  return change_by_lanes<16>(before, after, size);
}
ATHANOR_STATISTICS_AVX512 ChangeSquares change_avx512(const float* before, const float* after, int64_t size) {
  return change_by_lanes<32>(before, after, size);
}
#endif

constexpr uint32_t bins_together = 32;

/// Four tables, because neighbours often meet in one bin and would wait for each other, of numbers short enough that
/// all stay in the first cache. They lie a little more than pages apart: the processor takes addresses with the same
/// lower 12 bits for one until it has looked again.
struct alignas(64) BinTables {
  std::array<std::array<uint16_t, bin_count + bins_together>, 4> tables{};
};
static_assert(largest_piece / 4 < std::numeric_limits<uint16_t>::max());

uint32_t bin_of(const float* number) {
  uint32_t bits = 0;
  std::memcpy(&bits, number, sizeof(bits));
  return bits >> bin_shift;
}

}  // namespace

NumberBins bins_of(const float* numbers, int64_t size) {
  static thread_local const std::unique_ptr<BinTables> scratch = std::make_unique<BinTables>();  // zeros in between
  auto& [a, b, c, d] = scratch->tables;
  NumberBins bins;
  constexpr int64_t few = 512;
  if (size <= few) {
    for (int64_t i = 0; i < size; ++i) ++a[bin_of(numbers + i)];
    for (int64_t i = 0; i < size; ++i) {
      const uint32_t bin = bin_of(numbers + i);
      if (const int64_t count = std::exchange(a[bin], 0); count > 0) bins.emplace_back(bin, count);
    }
    std::sort(bins.begin(), bins.end());
    return bins;
  }
  int64_t i = 0;
  for (; i + 4 <= size; i += 4) {
    ++a[bin_of(numbers + i)];
    ++b[bin_of(numbers + i + 1)];
    ++c[bin_of(numbers + i + 2)];
    ++d[bin_of(numbers + i + 3)];
  }
  for (; i < size; ++i) ++a[bin_of(numbers + i)];
  // Most bins are empty.
  for (uint32_t first = 0; first < bin_count; first += bins_together) {
    uint32_t any = 0;
    for (uint32_t bin = first; bin < first + bins_together; ++bin) any |= a[bin] | b[bin] | c[bin] | d[bin];
    if (any == 0) continue;
    for (uint32_t bin = first; bin < first + bins_together; ++bin) {
      const int64_t count = int64_t{a[bin]} + b[bin] + c[bin] + d[bin];
      if (count > 0) bins.emplace_back(bin, count);
      a[bin] = b[bin] = c[bin] = d[bin] = 0;
    }
  }
  return bins;
}

bool are_finite(const NumberBins& bins) {
  return std::none_of(bins.begin(), bins.end(),
                      [](const auto& bin) { return (bin.first & (first_negative_bin - 1)) >= first_non_finite_bin; });
}

NumberSums sums_of_finite(const float* numbers, int64_t size) {
#if defined(ATHANOR_STATISTICS_X86)
  if (has_avx512()) return sums_avx512(numbers, size);
  if (has_avx2()) return sums_avx2(numbers, size);
#endif
  return sums_by_lanes<16>(numbers, size);
}

ChangeSquares squares_of_change(const float* before, const float* after, int64_t size) {
#if defined(ATHANOR_STATISTICS_X86)
  if (has_avx512()) return change_avx512(before, after, size);
  if (has_avx2()) return change_avx2(before, after, size);
#endif
  return change_by_lanes<16>(before, after, size);
}

}  // namespace athanor::detail
