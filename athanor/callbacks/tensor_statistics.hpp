// SPDX-License-Identifier: Apache-2.0
// Mean, spread, extremes, norm and histogram of the numbers of tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "athanor/callbacks/number_statistics.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/train/events.hpp"

namespace athanor {

/// Numbers from `low` to `high`. The edges are the same for all tensors: 8 bins for each doubling on both sides of zero
/// (each is 1.06 to 1.125 times as wide as the one before), and one from -2^-40 to 2^-40 in the middle.
struct HistogramBin {
  double low = 0;   ///< Belongs to the bin above zero, not to that below.
  double high = 0;  ///< Belongs to the bin below zero, not to that above.
  int64_t count = 0;
  friend bool operator==(const HistogramBin&, const HistogramBin&) = default;
};

/// What the numbers of one or several tensors are like. NaN and infinity are counted and otherwise left out.
struct TensorStatistics {
  int64_t count = 0;       ///< All numbers.
  int64_t non_finite = 0;  ///< Of them NaN or infinite.
  double mean = 0;
  double standard_deviation = 0;  ///< Of the population: divided by the count, not by one less.
  double minimum = 0;
  double maximum = 0;
  double norm = 0;                        ///< Euclidean.
  double zeros = 0;                       ///< The share of exact zeros, 0 … 1.
  std::vector<HistogramBin> histogram{};  ///< In rising order; empty bins are left out.

  [[nodiscard]] Tree to_tree() const;
  static TensorStatistics from_tree(const Tree& tree);
  friend bool operator==(const TensorStatistics&, const TensorStatistics&) = default;
};

/// The same for trackers; NaN and infinity are left out of everything.
[[nodiscard]] events::Histogram to_histogram(const TensorStatistics& statistics);

/// Adds tensors up to their statistics. Sums are float64; numbers of another dtype than float32 go into the bins
/// rounded to float32. Waits for the device.
class TensorSums {
 public:
  /// Any strided tensor of a real dtype.
  void add(const at::Tensor& tensor);
  void merge(const TensorSums& other);
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  /// Of all that was added, each number divided by `divisor`, which is above 0.
  [[nodiscard]] TensorStatistics result(double divisor = 1) const;

  /// What `add` does on devices other than the CPU.
  void add_with_operators(const at::Tensor& tensor);

 private:
  void add_finite(const float* numbers, int64_t size);
  void add_bins(const detail::NumberBins& bins);

  int64_t count_ = 0;
  int64_t zeros_ = 0;
  double sum_ = 0;
  double squares_ = 0;
  double minimum_ = 0;  // with `maximum_` below it when there is no finite number
  double maximum_ = -1;
  detail::NumberBins bins_;
};

/// Of two tensors of one shape: the norms of their difference and of the first. Waits for the device.
struct ChangeNorms {
  double change = 0;
  double before = 0;
};
[[nodiscard]] ChangeNorms norms_of_change(const at::Tensor& before, const at::Tensor& after);

}  // namespace athanor
