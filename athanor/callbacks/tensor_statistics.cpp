// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/tensor_statistics.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "athanor/core/processor.hpp"

namespace athanor {
namespace {

constexpr int bin_shift = 20;  // sign, exponent and three bits of a float32 stay
constexpr size_t bin_numbers = size_t{1} << (32 - bin_shift);
constexpr uint32_t sign_bin = bin_numbers / 2;
constexpr uint32_t first_non_finite_bin = 0x7f8;
constexpr uint32_t end_of_middle = (127 - 40) << (23 - bin_shift);  // that of 2^-40

double statistic_bin_edge(uint32_t bin) {
  if (bin >= first_non_finite_bin) return std::numeric_limits<double>::infinity();
  return std::bit_cast<float>(bin << bin_shift);
}

struct PartSums {
  double sum = 0, squares = 0;
  float minimum = std::numeric_limits<float>::infinity();
  float maximum = -std::numeric_limits<float>::infinity();
  int64_t zeros = 0;
};

#if defined(__GNUC__) && defined(__x86_64__)
#define ATHANOR_STATISTICS_AVX2 1
#define ATHANOR_STATISTICS_INLINE __attribute__((always_inline)) inline
#else
#define ATHANOR_STATISTICS_INLINE inline
#endif

constexpr int64_t statistic_lanes = 16;

/// Sixteen numbers at a time, so that the compiler finds the same loop in each array.
ATHANOR_STATISTICS_INLINE PartSums statistic_sums(const float* numbers, int64_t size) {
  std::array<double, statistic_lanes> sum{}, squares{};
  std::array<float, statistic_lanes> minimum, maximum;
  std::array<int32_t, statistic_lanes> zeros{};
  minimum.fill(std::numeric_limits<float>::infinity());
  maximum.fill(-std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + statistic_lanes <= size; i += statistic_lanes) {
    for (size_t lane = 0; lane < statistic_lanes; ++lane) {
      const float x = numbers[i + static_cast<int64_t>(lane)];
      sum[lane] += x;
      squares[lane] += static_cast<double>(x) * static_cast<double>(x);
    }
    for (size_t lane = 0; lane < statistic_lanes; ++lane) {
      const float x = numbers[i + static_cast<int64_t>(lane)];
      minimum[lane] = x < minimum[lane] ? x : minimum[lane];
      maximum[lane] = x > maximum[lane] ? x : maximum[lane];
      zeros[lane] += x == 0 ? 1 : 0;
    }
  }
  PartSums all;
  for (size_t lane = 0; lane < statistic_lanes; ++lane) {
    all.sum += sum[lane];
    all.squares += squares[lane];
    all.minimum = std::min(all.minimum, minimum[lane]);
    all.maximum = std::max(all.maximum, maximum[lane]);
    all.zeros += zeros[lane];
  }
  for (; i < size; ++i) {
    const float x = numbers[i];
    all.sum += x;
    all.squares += static_cast<double>(x) * static_cast<double>(x);
    all.minimum = std::min(all.minimum, x);
    all.maximum = std::max(all.maximum, x);
    all.zeros += x == 0 ? 1 : 0;
  }
  return all;
}

ATHANOR_STATISTICS_INLINE ChangeNorms squares_of_change(const float* before, const float* after, int64_t size) {
  std::array<double, statistic_lanes> change{}, norm{};
  int64_t i = 0;
  for (; i + statistic_lanes <= size; i += statistic_lanes) {
    for (size_t lane = 0; lane < statistic_lanes; ++lane) {
      const double x = before[i + static_cast<int64_t>(lane)];
      const double y = after[i + static_cast<int64_t>(lane)];
      change[lane] += (y - x) * (y - x);
    }
    for (size_t lane = 0; lane < statistic_lanes; ++lane) {
      const double x = before[i + static_cast<int64_t>(lane)];
      norm[lane] += x * x;
    }
  }
  ChangeNorms all;
  for (size_t lane = 0; lane < statistic_lanes; ++lane) {
    all.change += change[lane];
    all.before += norm[lane];
  }
  for (; i < size; ++i) {
    const double x = before[i];
    const double difference = after[i] - x;
    all.change += difference * difference;
    all.before += x * x;
  }
  return all;
}

#if defined(ATHANOR_STATISTICS_AVX2)
__attribute__((target("avx2,fma"), optimize("O3"))) PartSums statistic_sums_avx2(const float* numbers, int64_t size) {
  return statistic_sums(numbers, size);
}
__attribute__((target("avx2,fma"), optimize("O3"))) ChangeNorms squares_of_change_avx2(const float* before,
                                                                                       const float* after,
                                                                                       int64_t size) {
  return squares_of_change(before, after, size);
}
__attribute__((target("avx512f,prefer-vector-width=512"), optimize("O3"))) PartSums statistic_sums_avx512(
    const float* numbers, int64_t size) {
  return statistic_sums(numbers, size);
}
__attribute__((target("avx512f,prefer-vector-width=512"), optimize("O3"))) ChangeNorms squares_of_change_avx512(
    const float* before, const float* after, int64_t size) {
  return squares_of_change(before, after, size);
}
PartSums statistic_part_sums(const float* numbers, int64_t size) {
  if (has_avx512()) return statistic_sums_avx512(numbers, size);
  return has_avx2() ? statistic_sums_avx2(numbers, size) : statistic_sums(numbers, size);
}
ChangeNorms statistic_part_change(const float* before, const float* after, int64_t size) {
  if (has_avx512()) return squares_of_change_avx512(before, after, size);
  return has_avx2() ? squares_of_change_avx2(before, after, size) : squares_of_change(before, after, size);
}
#else
PartSums statistic_part_sums(const float* numbers, int64_t size) { return statistic_sums(numbers, size); }
ChangeNorms statistic_part_change(const float* before, const float* after, int64_t size) {
  return squares_of_change(before, after, size);
}
#endif

constexpr uint32_t bins_together = 16;

/// Four tables, because neighbours often meet in one bin and would wait for each other. They lie a little more than
/// pages apart: the processor takes addresses with the same lower 12 bits for one until it has looked again.
struct alignas(64) BinTables {
  std::array<std::array<uint32_t, bin_numbers + bins_together>, 4> tables{};
};

TensorSums::Bins statistic_bins(const float* numbers, int64_t size) {
  static thread_local const std::unique_ptr<BinTables> scratch = std::make_unique<BinTables>();  // zeros in between
  auto& [a, b, c, d] = scratch->tables;
  const auto bin_at = [&](int64_t i) {
    uint32_t bits = 0;
    std::memcpy(&bits, numbers + i, sizeof(bits));
    return bits >> bin_shift;
  };
  constexpr int64_t few = 512;
  TensorSums::Bins bins;
  if (size <= few) {
    for (int64_t i = 0; i < size; ++i) ++a[bin_at(i)];
    for (int64_t i = 0; i < size; ++i) {
      if (const uint32_t count = std::exchange(a[bin_at(i)], 0); count > 0) bins.emplace_back(bin_at(i), count);
    }
    std::sort(bins.begin(), bins.end());
    return bins;
  }
  int64_t i = 0;
  for (; i + 4 <= size; i += 4) {
    ++a[bin_at(i)];
    ++b[bin_at(i + 1)];
    ++c[bin_at(i + 2)];
    ++d[bin_at(i + 3)];
  }
  for (; i < size; ++i) ++a[bin_at(i)];
  // Most bins are empty.
  for (uint32_t first = 0; first < bin_numbers; first += bins_together) {
    uint32_t any = 0;
    for (uint32_t bin = first; bin < first + bins_together; ++bin) any |= a[bin] | b[bin] | c[bin] | d[bin];
    if (any == 0) continue;
    for (uint32_t bin = first; bin < first + bins_together; ++bin) {
      const int64_t count = int64_t{a[bin]} + b[bin] + c[bin] + d[bin];
      if (count > 0) bins.emplace_back(static_cast<uint16_t>(bin), count);
      a[bin] = b[bin] = c[bin] = d[bin] = 0;
    }
  }
  return bins;
}

/// A piece whose bins can't overflow.
constexpr int64_t largest_statistic_piece = int64_t{1} << 30;

}  // namespace

void TensorSums::add_bins(const Bins& bins) {
  if (bins_.empty()) {
    bins_ = bins;
    return;
  }
  Bins merged;
  auto mine = bins_.begin();
  auto theirs = bins.begin();
  while (mine != bins_.end() || theirs != bins.end()) {
    if (theirs == bins.end() || (mine != bins_.end() && mine->first < theirs->first)) {
      merged.push_back(*mine++);
    } else if (mine == bins_.end() || theirs->first < mine->first) {
      merged.push_back(*theirs++);
    } else {
      merged.emplace_back(mine->first, mine->second + theirs->second);
      ++mine, ++theirs;
    }
  }
  bins_ = std::move(merged);
}

void TensorSums::add_finite(const float* numbers, int64_t size) {
  if (size == 0) return;
  const PartSums part = statistic_part_sums(numbers, size);
  sum_ += part.sum;
  squares_ += part.squares;
  zeros_ += part.zeros;
  if (maximum_ < minimum_) {
    minimum_ = part.minimum;
    maximum_ = part.maximum;
  } else {
    minimum_ = std::min<double>(minimum_, part.minimum);
    maximum_ = std::max<double>(maximum_, part.maximum);
  }
}

void TensorSums::add(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.numel() == 0) return;
  if (!tensor.device().is_cpu() || tensor.scalar_type() == at::kDouble) return add_with_operators(tensor);
  const at::NoGradGuard no_grad;
  const at::Tensor dense = tensor.detach().to(at::kFloat).contiguous();
  const auto* numbers = dense.const_data_ptr<float>();
  count_ += dense.numel();
  for (int64_t begin = 0; begin < dense.numel(); begin += largest_statistic_piece) {
    const int64_t size = std::min(largest_statistic_piece, dense.numel() - begin);
    const Bins bins = statistic_bins(numbers + begin, size);
    const bool finite = std::none_of(
        bins.begin(), bins.end(), [](const auto& bin) { return (bin.first & (sign_bin - 1)) >= first_non_finite_bin; });
    add_bins(bins);
    if (finite) {
      add_finite(numbers + begin, size);
      continue;
    }
    std::vector<float> left;
    std::copy_if(numbers + begin, numbers + begin + size, std::back_inserter(left),
                 [](float x) { return std::isfinite(x); });
    add_finite(left.data(), static_cast<int64_t>(left.size()));
  }
}

void TensorSums::add_with_operators(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.numel() == 0) return;
  const at::NoGradGuard no_grad;
  const at::Tensor flat = tensor.detach().reshape({-1});
  const at::Tensor bins =
      at::bincount(flat.to(at::kFloat).view(at::kInt).bitwise_right_shift(bin_shift).bitwise_and(bin_numbers - 1), {},
                   static_cast<int64_t>(bin_numbers))
          .cpu();
  Bins found;
  for (size_t bin = 0; bin < bin_numbers; ++bin) {
    const int64_t count = bins.const_data_ptr<int64_t>()[bin];
    if (count > 0) found.emplace_back(static_cast<uint16_t>(bin), count);
  }
  add_bins(found);
  count_ += flat.numel();
  const at::Tensor finite = flat.masked_select(at::isfinite(flat));
  if (finite.numel() == 0) return;
  const at::Tensor wide = finite.device().is_mps() ? finite : finite.to(at::kDouble);
  const at::Tensor numbers =
      at::stack({wide.sum(), wide.mul(wide).sum(), wide.min(), wide.max(), wide.eq(0).sum().to(wide.scalar_type())})
          .cpu()
          .to(at::kDouble);
  const auto* read = numbers.const_data_ptr<double>();
  const bool first = maximum_ < minimum_;
  sum_ += read[0];
  squares_ += read[1];
  minimum_ = first ? read[2] : std::min(minimum_, read[2]);
  maximum_ = first ? read[3] : std::max(maximum_, read[3]);
  zeros_ += static_cast<int64_t>(read[4]);
}

void TensorSums::merge(const TensorSums& other) {
  if (other.maximum_ >= other.minimum_) {
    const bool first = maximum_ < minimum_;
    minimum_ = first ? other.minimum_ : std::min(minimum_, other.minimum_);
    maximum_ = first ? other.maximum_ : std::max(maximum_, other.maximum_);
  }
  count_ += other.count_;
  zeros_ += other.zeros_;
  sum_ += other.sum_;
  squares_ += other.squares_;
  add_bins(other.bins_);
}

TensorStatistics TensorSums::result(double divisor) const {
  TensorStatistics all{.count = count_};
  HistogramBin middle{.low = -statistic_bin_edge(end_of_middle) / divisor,
                      .high = statistic_bin_edge(end_of_middle) / divisor};
  std::vector<HistogramBin> below, above;
  for (const auto& [number, count] : bins_) {
    const uint32_t magnitude = number & (sign_bin - 1);
    const HistogramBin bin{statistic_bin_edge(magnitude) / divisor, statistic_bin_edge(magnitude + 1) / divisor, count};
    if (magnitude >= first_non_finite_bin) {
      all.non_finite += count;
    } else if (magnitude < end_of_middle) {
      middle.count += count;
    } else if (number >= sign_bin) {
      below.push_back({-bin.high, -bin.low, count});
    } else {
      above.push_back(bin);
    }
  }
  all.histogram.assign(below.rbegin(), below.rend());
  if (middle.count > 0) all.histogram.push_back(middle);
  all.histogram.insert(all.histogram.end(), above.begin(), above.end());

  const auto finite = static_cast<double>(count_ - all.non_finite);
  if (finite == 0) return all;
  all.mean = sum_ / finite / divisor;
  const double mean = sum_ / finite;
  all.standard_deviation = std::sqrt(std::max(squares_ / finite - mean * mean, 0.0)) / divisor;
  all.minimum = minimum_ / divisor;
  all.maximum = maximum_ / divisor;
  all.norm = std::sqrt(squares_) / divisor;
  all.zeros = static_cast<double>(zeros_) / static_cast<double>(count_);
  return all;
}

ChangeNorms norms_of_change(const at::Tensor& before, const at::Tensor& after) {
  const at::NoGradGuard no_grad;
  ChangeNorms squares;
  const bool is_plain = before.device().is_cpu() && before.scalar_type() == at::kFloat && before.is_contiguous() &&
                        after.scalar_type() == at::kFloat && after.is_contiguous();
  if (is_plain) {
    squares = statistic_part_change(before.const_data_ptr<float>(), after.const_data_ptr<float>(), before.numel());
  } else {
    const bool wide = !before.device().is_mps();
    const at::Tensor x = wide ? before.to(at::kDouble) : before;
    const at::Tensor difference = (wide ? after.to(at::kDouble) : after) - x;
    const at::Tensor both = at::stack({difference.mul(difference).sum(), x.mul(x).sum()}).cpu().to(at::kDouble);
    squares = {both.const_data_ptr<double>()[0], both.const_data_ptr<double>()[1]};
  }
  return {std::sqrt(squares.change), std::sqrt(squares.before)};
}

events::Histogram to_histogram(const TensorStatistics& statistics) {
  const auto count = static_cast<double>(statistics.count - statistics.non_finite);
  events::Histogram result{.minimum = statistics.minimum,
                           .maximum = statistics.maximum,
                           .count = count,
                           .sum = statistics.mean * count,
                           .sum_of_squares = statistics.norm * statistics.norm};
  for (const HistogramBin& bin : statistics.histogram) {
    if (result.edges.empty()) {
      result.edges.push_back(bin.low);
    } else if (result.edges.back() < bin.low) {
      result.edges.push_back(bin.low);
      result.counts.push_back(0);
    }
    result.edges.push_back(bin.high);
    result.counts.push_back(static_cast<double>(bin.count));
  }
  if (result.edges.empty()) result.edges.push_back(0);
  return result;
}

Tree TensorStatistics::to_tree() const {
  const at::Tensor bins = at::zeros({static_cast<int64_t>(histogram.size()), 3}, at::kDouble);
  auto* numbers = bins.mutable_data_ptr<double>();
  for (const HistogramBin& bin : histogram) {
    *numbers++ = bin.low;
    *numbers++ = bin.high;
    *numbers++ = static_cast<double>(bin.count);
  }
  return {{"count", count},     {"non_finite", non_finite}, {"mean", mean}, {"standard_deviation", standard_deviation},
          {"minimum", minimum}, {"maximum", maximum},       {"norm", norm}, {"zeros", zeros},
          {"histogram", bins}};
}

TensorStatistics TensorStatistics::from_tree(const Tree& tree) {
  TensorStatistics all{.count = tree["count"].integer(),
                       .non_finite = tree["non_finite"].integer(),
                       .mean = tree["mean"].real(),
                       .standard_deviation = tree["standard_deviation"].real(),
                       .minimum = tree["minimum"].real(),
                       .maximum = tree["maximum"].real(),
                       .norm = tree["norm"].real(),
                       .zeros = tree["zeros"].real()};
  const at::Tensor& bins = tree["histogram"].tensor();
  const auto* numbers = bins.const_data_ptr<double>();
  for (int64_t i = 0; i < bins.size(0); ++i, numbers += 3) {
    all.histogram.push_back({numbers[0], numbers[1], static_cast<int64_t>(numbers[2])});
  }
  return all;
}

}  // namespace athanor
