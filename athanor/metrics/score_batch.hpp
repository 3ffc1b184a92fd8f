// SPDX-License-Identifier: Apache-2.0
// Scores and labels of a batch in one form; shared by the metrics that look at scores, not for use outside.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <optional>

#include "athanor/metrics/classification.hpp"

namespace athanor::metrics::detail {

struct ScoreRules {
  const char* metric = "";
  Kind kind = Kind::automatic;
  bool from_logits = true;
  std::optional<int64_t> ignore_index = {};
  std::optional<int64_t> classes = {};

  [[nodiscard]] int64_t ignored() const noexcept { return ignore_index.value_or(std::numeric_limits<int64_t>::min()); }
};

/// Throws Error for options that make no sense, whatever the data is.
void check(const ScoreRules& rules);

/// One row for each place: in multi-class a score for each class and one label; in binary and multi-label a score for
/// each column, each with a label, 0 or 1.
struct ScoreBatch {
  at::Tensor scores;  ///< (places, columns) as it lies in memory: contiguous, float32 or float64.
  at::Tensor labels;  ///< As long as `places`, in multi-label as `scores`; contiguous, int64.
  int64_t places = 0;
  int64_t columns = 1;
  bool multiclass = false;

  [[nodiscard]] int64_t size() const noexcept { return places * columns; }
  /// The label that belongs to a score, by the place of the score.
  [[nodiscard]] int64_t label_place(int64_t score) const noexcept { return multiclass ? score / columns : score; }
};

/// Reads shapes and dtypes by the list of classification.hpp. Tensors that are contiguous, of these dtypes and without
/// places of their own (d1, …) cost no operator. On the CPU throws Error for labels and probabilities out of range and
/// for NaN, where the target is not ignored; elsewhere reads nothing back.
[[nodiscard]] ScoreBatch read_scores(const at::Tensor& predictions, const at::Tensor& target, const ScoreRules& rules);

/// For tensors that are not on the CPU: bool, as long as the labels: neither ignored nor of no use; and int64 (1): how
/// many are of no use.
struct UsableScores {
  at::Tensor valid;
  at::Tensor refused;
};
[[nodiscard]] UsableScores usable_on_device(const ScoreBatch& batch, const ScoreRules& rules);

}  // namespace athanor::metrics::detail
