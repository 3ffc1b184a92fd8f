// SPDX-License-Identifier: Apache-2.0
// Scores in their order, or in bins.
#include "athanor/metrics/ranked_scores.hpp"

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/metrics/on_device.hpp"
#include "athanor/metrics/probabilities.hpp"
#include "athanor/metrics/ranked_column.hpp"

namespace athanor::metrics::detail {
namespace {

template <class Score>
void probabilities_of_row(const Score* row, int64_t columns, bool multiclass, bool from_logits, Score* into) {
  if (!from_logits) {
    std::copy(row, row + columns, into);
    return;
  }
  if (multiclass) {
    softmax(row, columns, into);
  } else {
    for (int64_t c = 0; c < columns; ++c) into[c] = static_cast<Score>(sigmoid(static_cast<double>(row[c])));
  }
}

template <class Score>
void count_in_bins(const ScoreBatch& batch, const ScoreRules& rules, int64_t bins, int64_t* counts) {
  const auto* scores = batch.scores.const_data_ptr<Score>();
  const auto* labels = batch.labels.const_data_ptr<int64_t>();
  c10::SmallVector<Score, 128> row(static_cast<size_t>(batch.columns));
  const int64_t ignored = rules.ignored();
  for (int64_t place = 0; place < batch.places; ++place) {
    if (batch.multiclass && labels[place] == ignored) continue;
    probabilities_of_row(scores + place * batch.columns, batch.columns, batch.multiclass, rules.from_logits,
                         row.data());
    for (int64_t c = 0; c < batch.columns; ++c) {
      const int64_t label = batch.multiclass ? labels[place] : labels[place * batch.columns + c];
      if (!batch.multiclass && label == ignored) continue;
      const int64_t positive = batch.multiclass ? static_cast<int64_t>(label == c) : label;
      ++counts[(c * 2 + positive) * bins + threshold_below(row[static_cast<size_t>(c)], bins)];
    }
  }
}

}  // namespace

ScoreRanking::ScoreRanking(const ScoreRules& rules, std::optional<int64_t> bins) : rules_(rules), bins_(bins) {
  check(rules_);
  if (bins && *bins < 2) {
    throw Error({.what = "bins is too small",
                 .where = rules.metric,
                 .got = std::to_string(*bins),
                 .expected = "2 thresholds or more, or unset for all scores"});
  }
}

void ScoreRanking::update(const at::Tensor& predictions, const at::Tensor& target) {
  const ScoreBatch batch = read_scores(predictions, target, rules_);
  if (batch.scores.is_cpu()) {
    bins_ ? add_to_bins(batch) : kept_.append(batch, rules_.ignored());
  } else if (bins_) {
    counts_.add(bin_counts_on_device(batch, rules_, *bins_));
  } else {
    waiting_.add(predictions, target);
  }
}

void ScoreRanking::add_to_bins(const ScoreBatch& batch) {
  int64_t* counts = counts_.on_host(batch.columns * 2 * *bins_);
  if (batch.scores.scalar_type() == at::kFloat) {
    count_in_bins<float>(batch, rules_, *bins_, counts);
  } else {
    count_in_bins<double>(batch, rules_, *bins_, counts);
  }
}

void ScoreRanking::merge(const ScoreRanking& other) {
  kept_.merge(other.kept_, rules_.metric);
  counts_.merge(other.counts_, rules_.metric);
  waiting_.merge(other.waiting_);
}

bool ScoreRanking::empty() const noexcept { return kept_.columns() == 0 && counts_.empty() && waiting_.empty(); }

void ScoreRanking::reset() {
  kept_ = KeptScores();
  counts_.reset();
  waiting_.clear();
}

void ScoreRanking::settle() {
  waiting_.drain([&](const at::Tensor& predictions, const at::Tensor& target) {
    kept_.append(read_scores(predictions, target, rules_), rules_.ignored());
  });
}

ScoreRanking ScoreRanking::settled() const {
  ScoreRanking copy = *this;
  copy.settle();
  return copy;
}

void ScoreRanking::state(State& state) {
  if (bins_) {
    state.child("counts", counts_);
    return;
  }
  if (state.saving()) settle();
  if (state.loading()) waiting_.clear();
  state.child("scores", kept_);
}

BinnedScores ScoreRanking::bins_of(const std::vector<int64_t>& counts, size_t column) const {
  const auto bins = static_cast<int64_t>(*bins_);
  const auto negatives = counts.begin() + static_cast<int64_t>(column) * 2 * bins;
  return {.positives = {negatives + bins, negatives + 2 * bins}, .negatives = {negatives, negatives + bins}};
}

std::vector<RankedColumn> ScoreRanking::read(bool together) const {
  std::vector<RankedColumn> columns;
  if (bins_) {
    const std::vector<int64_t> counts = counts_.read(rules_.metric);
    const size_t column_count = counts.size() / (2 * static_cast<size_t>(*bins_));
    for (size_t column = 0; column < column_count; ++column) {
      BinnedScores scores = bins_of(counts, column);
      if (together && column > 0) {
        auto& sum = std::get<BinnedScores>(columns.front().scores);
        for (size_t bin = 0; bin < scores.positives.size(); ++bin) {
          sum.positives[bin] += scores.positives[bin];
          sum.negatives[bin] += scores.negatives[bin];
        }
      } else {
        columns.push_back({std::move(scores)});
      }
    }
    for (RankedColumn& column : columns) {
      column.walk([&](double, uint64_t positives, uint64_t negatives) {
        column.positives = positives;
        column.negatives = negatives;
      });
    }
    return columns;
  }
  if (!waiting_.empty()) return settled().read(together);
  if (empty()) {
    throw Error({.what = "a metric was asked for its value before anything was seen",
                 .where = rules_.metric,
                 .expected = "at least one sample",
                 .todo = "call update() first"});
  }
  const bool to_probabilities = rules_.from_logits && kept_.multiclass();
  const std::optional<KeptScores> normalized =
      to_probabilities ? std::optional<KeptScores>(kept_.normalized()) : std::nullopt;
  const KeptScores& kept = normalized ? *normalized : kept_;
  if (together) return {kept.all_columns()};
  for (int64_t column = 0; column < kept.columns(); ++column) columns.push_back(kept.column(column));
  return columns;
}

std::vector<RankedColumn> ScoreRanking::columns() const {
  std::vector<RankedColumn> columns = read(false);
  uint64_t seen = 0;
  for (const RankedColumn& column : columns) seen += column.positives + column.negatives;
  if (seen == 0) {
    throw Error({.what = "a metric has seen only targets that it ignores, or no samples",
                 .where = rules_.metric,
                 .expected = "at least one target that counts"});
  }
  return columns;
}

RankedColumn ScoreRanking::together() const { return std::move(read(true).front()); }

}  // namespace athanor::metrics::detail
