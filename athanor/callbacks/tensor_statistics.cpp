// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/tensor_statistics.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>

namespace athanor {
namespace {

using detail::bin_count, detail::bin_shift, detail::first_negative_bin, detail::first_non_finite_bin;

constexpr uint32_t end_of_middle = (127 - 40) << (23 - bin_shift);  // that of 2^-40

double edge_of(uint32_t bin) {
  if (bin >= first_non_finite_bin) return std::numeric_limits<double>::infinity();
  return std::bit_cast<float>(bin << bin_shift);
}

}  // namespace

void TensorSums::add_bins(const detail::NumberBins& bins) {
  if (bins_.empty()) {
    bins_ = bins;
    return;
  }
  detail::NumberBins merged;
  auto mine = bins_.begin();
  auto theirs = bins.begin();
  while (mine != bins_.end() || theirs != bins.end()) {
    if (theirs == bins.end() || (mine != bins_.end() && mine->first < theirs->first)) {
      merged.push_back(*mine++);
    } else if (mine == bins_.end() || theirs->first < mine->first) {
      merged.push_back(*theirs++);
    } else {
      merged.emplace_back(mine->first, mine->second + theirs->second);
      ++mine;
      ++theirs;
    }
  }
  bins_ = std::move(merged);
}

void TensorSums::add_finite(const float* numbers, int64_t size) {
  if (size == 0) return;
  const detail::NumberSums part = detail::sums_of_finite(numbers, size);
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
  const bool is_plain = tensor.scalar_type() == at::kFloat && tensor.is_contiguous();
  const at::Tensor dense = is_plain ? tensor : tensor.to(at::kFloat).contiguous();
  const auto* numbers = dense.const_data_ptr<float>();
  count_ += dense.numel();
  for (int64_t begin = 0; begin < dense.numel(); begin += detail::largest_piece) {
    const int64_t size = std::min(detail::largest_piece, dense.numel() - begin);
    const detail::NumberBins bins = detail::bins_of(numbers + begin, size);
    add_bins(bins);
    if (detail::are_finite(bins)) {
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
      at::bincount(flat.to(at::kFloat).view(at::kInt).bitwise_right_shift(bin_shift).bitwise_and(bin_count - 1), {},
                   static_cast<int64_t>(bin_count))
          .cpu();
  detail::NumberBins found;
  for (uint32_t bin = 0; bin < bin_count; ++bin) {
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
  HistogramBin middle{.low = -edge_of(end_of_middle) / divisor, .high = edge_of(end_of_middle) / divisor};
  all.histogram.reserve(bins_.size());
  const auto put = [&](uint32_t magnitude, int64_t count, bool negative) {
    if (magnitude >= first_non_finite_bin) {
      all.non_finite += count;
      return;
    }
    const double low = edge_of(magnitude) / divisor, high = edge_of(magnitude + 1) / divisor;
    all.histogram.push_back(negative ? HistogramBin{-high, -low, count} : HistogramBin{low, high, count});
  };
  // Magnitudes rise in both halves, so the negative ones are read from their end.
  auto bin = bins_.rbegin();
  for (; bin != bins_.rend() && bin->first >= first_negative_bin + end_of_middle; ++bin) {
    put(bin->first - first_negative_bin, bin->second, true);
  }
  for (; bin != bins_.rend() && bin->first >= first_negative_bin; ++bin) middle.count += bin->second;
  auto positive = bins_.begin();
  for (; positive != bin.base() && positive->first < end_of_middle; ++positive) middle.count += positive->second;
  if (middle.count > 0) all.histogram.push_back(middle);
  for (; positive != bin.base(); ++positive) put(positive->first, positive->second, false);

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
    const detail::ChangeSquares of_numbers =
        detail::squares_of_change(before.const_data_ptr<float>(), after.const_data_ptr<float>(), before.numel());
    squares = {of_numbers.change, of_numbers.before};
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
