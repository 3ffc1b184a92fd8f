// SPDX-License-Identifier: Apache-2.0
// Scores in their order, or in bins; what ROC and precision-recall curves are made of, not for use outside.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/metrics/counts.hpp"
#include "athanor/metrics/device_batches.hpp"
#include "athanor/metrics/score_batch.hpp"

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

/// What was seen, as it came: exact, so memory grows with the data, by 8 bytes for each score of a binary problem and 4
/// for each class of a multi-class one (float64 scores: 4 more for each).
class KeptScores {
 public:
  void append(const ScoreBatch& batch, int64_t ignored);
  /// Throws Error when the numbers of classes differ.
  void merge(const KeptScores& other, const char* metric);
  [[nodiscard]] int64_t places() const noexcept;
  [[nodiscard]] int64_t columns() const noexcept { return columns_; }
  /// Multi-class logits are turned into probabilities.
  [[nodiscard]] RankedColumn column(int64_t column) const;
  [[nodiscard]] RankedColumn all_columns() const;
  /// The same with each row of a multi-class problem as probabilities.
  [[nodiscard]] KeptScores normalized() const;
  [[nodiscard]] bool multiclass() const noexcept { return multiclass_; }
  void state(State& state);

 private:
  template <class Score>
  using Scores = std::vector<Score>;

  void check_shape(int64_t columns, bool multiclass, const char* metric) const;
  void widen();
  template <class Score>
  [[nodiscard]] RankedColumn ranked(const Scores<Score>& scores, int64_t first, int64_t last) const;

  int64_t columns_ = 0;  // 0 before the first batch
  bool multiclass_ = false;
  std::variant<Scores<float>, Scores<double>> scores_;
  std::vector<int32_t> labels_;  // one for each place, or for each score
};

/// The scores of a binary, multi-class or multi-label problem: all of them, or counts in bins. A copy keeps its own.
class ScoreRanking {
 public:
  /// `bins`: thresholds, from 0 to 1; unset: exact. Throws Error for options out of their range.
  ScoreRanking(const ScoreRules& rules, std::optional<int64_t> bins);

  /// Does not wait for a device. Throws Error, and keeps nothing, for shapes that do not fit and (on the CPU) what
  /// classification.hpp lists.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  void merge(const ScoreRanking& other);
  [[nodiscard]] bool empty() const noexcept;
  void reset();
  void state(State& state);

  /// A column for each class or label, one in binary; or all together. Waits for the device. Throws Error when nothing
  /// was seen, or nothing but ignored targets.
  [[nodiscard]] std::vector<RankedColumn> columns() const;
  [[nodiscard]] RankedColumn together() const;

 private:
  [[nodiscard]] ScoreRanking settled() const;
  void settle();
  void add_to_bins(const ScoreBatch& batch);
  [[nodiscard]] BinnedScores bins_of(const std::vector<int64_t>& counts, size_t column) const;
  [[nodiscard]] std::vector<RankedColumn> read(bool together) const;

  ScoreRules rules_;
  std::optional<int64_t> bins_;
  KeptScores kept_;
  Counts counts_;  // (columns, 2, bins): negatives, positives
  DeviceBatches waiting_;
};

}  // namespace athanor::metrics::detail
