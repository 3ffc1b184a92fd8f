// SPDX-License-Identifier: Apache-2.0
// Scores in their order, or in bins; what ROC and precision-recall curves are made of, not for use outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

namespace athanor::metrics::detail {

/// The scores of the positives and of the negatives of one column, sorted in ascending order.
template <class Score>
struct SortedScores {
  std::vector<Score> positives;
  std::vector<Score> negatives;

  template <class F>
  void walk(F&& function) const {
    size_t p = positives.size();
    size_t n = negatives.size();
    while (p > 0 || n > 0) {
      const Score threshold =
          n == 0 || (p > 0 && positives[p - 1] >= negatives[n - 1]) ? positives[p - 1] : negatives[n - 1];
      while (p > 0 && positives[p - 1] == threshold) --p;
      while (n > 0 && negatives[n - 1] == threshold) --n;
      function(static_cast<double>(threshold), static_cast<uint64_t>(positives.size() - p),
               static_cast<uint64_t>(negatives.size() - n));
    }
  }
};

/// How many positives and negatives lie from each threshold to the next; the last bin is open.
struct BinnedScores {
  std::vector<int64_t> positives;
  std::vector<int64_t> negatives;

  template <class F>
  void walk(F&& function) const {
    const size_t bins = positives.size();
    uint64_t p = 0;
    uint64_t n = 0;
    for (size_t bin = bins; bin-- > 0;) {
      p += static_cast<uint64_t>(positives[bin]);
      n += static_cast<uint64_t>(negatives[bin]);
      function(static_cast<double>(bin) / static_cast<double>(bins - 1), p, n);
    }
  }
};

/// One column, or all together.
struct RankedColumn {
  std::variant<SortedScores<float>, SortedScores<double>, BinnedScores> scores;
  uint64_t positives = 0;
  uint64_t negatives = 0;

  /// Calls `function(threshold, true positives, false positives)` at each distinct score, or threshold of the bins,
  /// from the greatest down: what counts is at or above the threshold.
  template <class F>
  void walk(F&& function) const {
    std::visit([&](const auto& kept) { kept.walk(function); }, scores);
  }
  /// How many pairs of a positive and a negative are in order, times two; ties count one. At most 2^64, for 3 billion
  /// of each.
  [[nodiscard]] uint64_t twice_pairs_in_order() const;
};

}  // namespace athanor::metrics::detail
