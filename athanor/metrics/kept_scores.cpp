// SPDX-License-Identifier: Apache-2.0
// All scores as they came, and sorted.
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/parallel.hpp"
#include "athanor/metrics/probabilities.hpp"
#include "athanor/metrics/radix_sort.hpp"
#include "athanor/metrics/ranked_column.hpp"
#include "athanor/metrics/ranked_scores.hpp"

namespace athanor::metrics::detail {
namespace {

template <class T>
at::Tensor tensor_of(const std::vector<T>& values) {
  const c10::InferenceMode normal(false);
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, c10::CppTypeToScalarType<T>::value);
  std::copy(values.begin(), values.end(), tensor.template mutable_data_ptr<T>());
  return tensor;
}

template <class T>
std::vector<T> vector_of(const at::Tensor& tensor) {
  const auto* first = tensor.const_data_ptr<T>();
  return {first, first + tensor.numel()};
}

}  // namespace

int64_t KeptScores::places() const noexcept {
  const auto labels = static_cast<int64_t>(labels_.size());
  return multiclass_ || columns_ == 0 ? labels : labels / columns_;
}

void KeptScores::check_shape(int64_t columns, bool multiclass, const char* metric) const {
  if (columns_ == 0 || (columns == columns_ && multiclass == multiclass_)) return;
  throw Error({.what = "the number of classes changed under a metric",
               .where = metric,
               .got = std::to_string(columns) + (columns == 1 ? " score" : " scores") + " for each sample",
               .expected = std::to_string(columns_) + ", as at the first batch",
               .todo = "reset() it, or use one metric for each number of classes"});
}

void KeptScores::widen() {
  if (const auto* narrow = std::get_if<Scores<float>>(&scores_)) {
    scores_ = Scores<double>(narrow->begin(), narrow->end());
  }
}

void KeptScores::append(const ScoreBatch& batch, int64_t ignored) {
  check_shape(batch.columns, batch.multiclass, "update");
  columns_ = batch.columns;
  multiclass_ = batch.multiclass;
  if (batch.scores.scalar_type() == at::kDouble) widen();
  const auto* labels = batch.labels.const_data_ptr<int64_t>();
  const int64_t label_count = batch.labels.numel();
  const auto take = [&](const auto* scores) {
    std::visit(
        [&](auto& kept) {
          if (std::find(labels, labels + label_count, ignored) == labels + label_count) {
            kept.insert(kept.end(), scores, scores + batch.size());
            const size_t before = labels_.size();
            labels_.resize(before + static_cast<size_t>(label_count));
            for (int64_t i = 0; i < label_count; ++i) {
              labels_[before + static_cast<size_t>(i)] = static_cast<int32_t>(labels[i]);
            }
            return;
          }
          // In multi-label the other labels of the row still count: an ignored one keeps its place, marked by -1.
          const int64_t width = multiclass_ ? columns_ : 1;
          for (int64_t i = 0; i < label_count; ++i) {
            const bool left_out = labels[i] == ignored;
            if (left_out && (multiclass_ || columns_ == 1)) continue;
            labels_.push_back(left_out ? -1 : static_cast<int32_t>(labels[i]));
            kept.insert(kept.end(), scores + i * width, scores + (i + 1) * width);
          }
        },
        scores_);
  };
  if (batch.scores.scalar_type() == at::kDouble) {
    take(batch.scores.const_data_ptr<double>());
  } else {
    take(batch.scores.const_data_ptr<float>());
  }
}

void KeptScores::merge(const KeptScores& other, const char* metric) {
  if (other.columns_ == 0) return;
  check_shape(other.columns_, other.multiclass_, metric);
  columns_ = other.columns_;
  multiclass_ = other.multiclass_;
  if (std::holds_alternative<Scores<double>>(other.scores_)) widen();
  std::visit(
      [](auto& mine, const auto& theirs) {
        const size_t before = mine.size();
        mine.resize(before + theirs.size());
        for (size_t i = 0; i < theirs.size(); ++i) {
          mine[before + i] = static_cast<typename std::remove_cvref_t<decltype(mine)>::value_type>(theirs[i]);
        }
      },
      scores_, other.scores_);
  labels_.insert(labels_.end(), other.labels_.begin(), other.labels_.end());
}

KeptScores KeptScores::normalized() const {
  KeptScores copy = *this;
  if (!multiclass_) return copy;
  std::visit(
      [&](auto& scores) {
        parallel_for(places(), 1 + (1 << 13) / columns_, [&](int64_t begin, int64_t end) {
          for (int64_t place = begin; place < end; ++place) {
            auto* row = scores.data() + place * columns_;
            softmax(row, columns_, row);
          }
        });
      },
      copy.scores_);
  return copy;
}

namespace {

/// How many pairs have `before(negative, positive)`. Each score costs a step without a branch, which would be as random
/// as the labels.
template <class Score, class Before>
uint64_t count_pairs_before(const SortedScores<Score>& scores, Before before) {
  const auto& positives = scores.positives;
  const auto& negatives = scores.negatives;
  std::atomic<uint64_t> pairs = 0;
  parallel_for(static_cast<int64_t>(positives.size()), 1 << 16, [&](int64_t begin, int64_t end) {
    auto p = static_cast<size_t>(begin);
    const auto last = static_cast<size_t>(end);
    auto n = static_cast<size_t>(std::partition_point(negatives.begin(), negatives.end(),
                                                      [&](Score negative) { return before(negative, positives[p]); }) -
                                 negatives.begin());
    uint64_t sum = 0;
    while (p < last && n < negatives.size()) {
      const bool below = before(negatives[n], positives[p]);
      n += below ? 1 : 0;
      p += below ? 0 : 1;
      sum += below ? 0 : n;
    }
    pairs += sum + static_cast<uint64_t>(last - p) * negatives.size();
  });
  return pairs;
}

uint64_t twice_pairs(const BinnedScores& scores) {
  uint64_t twice = 0, last_positives = 0, last_negatives = 0;
  scores.walk([&](double, uint64_t positives, uint64_t negatives) {
    twice += (negatives - last_negatives) * (positives + last_positives);
    last_positives = positives;
    last_negatives = negatives;
  });
  return twice;
}

template <class Score>
uint64_t twice_pairs(const SortedScores<Score>& scores) {
  return count_pairs_before(scores, std::less<>()) + count_pairs_before(scores, std::less_equal<>());
}

}  // namespace

uint64_t RankedColumn::twice_pairs_in_order() const {
  return std::visit([](const auto& kept) { return twice_pairs(kept); }, scores);
}

/// The scores of columns `first` to `last` - 1.
template <class Score>
RankedColumn KeptScores::ranked(const Scores<Score>& scores, int64_t first, int64_t last) const {
  const int64_t rows = places();
  const auto is_positive = [&](int64_t row, int64_t column) {
    const int32_t label = labels_[static_cast<size_t>(multiclass_ ? row : row * columns_ + column)];
    return multiclass_ ? static_cast<int>(label == column) : static_cast<int>(label);
  };
  size_t counts[2] = {0, 0};
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = first; column < last; ++column) {
      const int positive = is_positive(row, column);
      if (positive >= 0) ++counts[positive];
    }
  }
  SortedScores<Score> sorted;
  sorted.negatives.resize(counts[0]);
  sorted.positives.resize(counts[1]);
  Score* next[2] = {sorted.negatives.data(), sorted.positives.data()};
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = first; column < last; ++column) {
      const int positive = is_positive(row, column);
      if (positive >= 0) *next[positive]++ = scores[static_cast<size_t>(row * columns_ + column)];
    }
  }
  sort_ascending(sorted.positives);
  sort_ascending(sorted.negatives);
  return {std::move(sorted), counts[1], counts[0]};
}

RankedColumn KeptScores::column(int64_t column) const {
  return std::visit([&](const auto& scores) { return ranked(scores, column, column + 1); }, scores_);
}

RankedColumn KeptScores::all_columns() const {
  return std::visit([&](const auto& scores) { return ranked(scores, 0, columns_); }, scores_);
}

void KeptScores::state(State& state) {
  bool wide = std::holds_alternative<Scores<double>>(scores_);
  at::Tensor labels, scores;
  if (state.saving()) {
    labels = tensor_of(labels_);
    scores = std::visit([](const auto& kept) { return tensor_of(kept); }, scores_);
  }
  state.value("columns", columns_);
  state.value("multiclass", multiclass_);
  state.value("wide", wide);
  state.tensor("labels", labels, State::Shape::free);
  state.tensor("scores", scores, State::Shape::free);
  if (!state.loading()) return;
  labels_ = vector_of<int32_t>(labels);
  if (wide) {
    scores_ = vector_of<double>(scores);
  } else {
    scores_ = vector_of<float>(scores);
  }
}

}  // namespace athanor::metrics::detail
