// SPDX-License-Identifier: Apache-2.0
// All scores of a problem, or bins of them; what ROC and precision-recall curves are read from, not for use outside.
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

struct BinnedScores;
struct RankedColumn;

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
