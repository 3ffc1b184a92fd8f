// SPDX-License-Identifier: Apache-2.0
// How well documents are ranked for queries: NDCG, MRR, MAP, hit rate, precision and recall at k.
//
//     athanor::metrics::retrieval_ndcg(scores, relevance, {.k = 10})     // (queries, documents), a row for each query
//     athanor::metrics::RetrievalMap map;                                 // or flat, with the query of each document
//     map.update(scores, relevant, queries);
//
// A matrix (queries, documents) has all documents of a query in its row, or (documents) those of one query; rows of
// different updates are different queries. Flat tensors come with the number of the query of each document; those of
// one query may be spread over updates, over parts that are merged, and in any order.
//
// In a Trainer the target of a step is a tensor, (queries, documents); or for flat ones a dictionary of "target" and
// "query", or a list of these two.
//
// The value is the mean over the queries. Equal scores: the mean over all orders of the documents that have them, as
// scikit-learn's ndcg_score does, and here for all of these metrics; torchmetrics takes any order, for NDCG the mean.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/query_values.hpp"

namespace athanor::metrics {

/// What a query without a relevant document counts, torchmetrics' empty_target_action.
enum class EmptyQueries {
  zero,    ///< 0; torchmetrics' "neg", its default.
  one,     ///< 1; "pos".
  skip,    ///< Nothing; "skip". When all are skipped, `compute` throws (torchmetrics gives 0).
  refuse,  ///< Throws Error; "error".
};

enum class TiedScores {
  average,  ///< The mean over all orders of documents with equal scores.
  worst,    ///< The least relevant of them first; what scikit-learn's ignore_ties leaves to chance.
};

enum class NdcgGain {
  linear,       ///< The target itself, as scikit-learn and torchmetrics.
  exponential,  ///< 2^target - 1, of targets up to 1000: what is very relevant counts much more.
};

struct RankingOptions {
  /// Only the first k documents count, 1 or more. Unset: all.
  std::optional<int64_t> k = {};
  EmptyQueries empty_queries = EmptyQueries::zero;
  TiedScores ties = TiedScores::average;
  /// Documents whose target has this value are left out: padding of a matrix. A query of which nothing is left is none.
  /// Unset: none.
  std::optional<int64_t> ignore_index = {};

  friend bool operator==(const RankingOptions&, const RankingOptions&) = default;
};

struct NdcgOptions {
  /// Only the first k documents count, also of the best order, 1 or more. Unset: all.
  std::optional<int64_t> k = {};
  NdcgGain gain = NdcgGain::linear;
  EmptyQueries empty_queries = EmptyQueries::zero;
  TiedScores ties = TiedScores::average;
  /// Documents whose target has this value are left out. Unset: none.
  std::optional<int64_t> ignore_index = {};
};

/// What the classes share.
class RankingMetric {
 public:
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] const RankingOptions& options() const noexcept { return options_; }
  [[nodiscard]] bool alike(const RankingMetric& other) const noexcept {
    return definition_ == other.definition_ && gain_ == other.gain_ && options_ == other.options_;
  }

  /// Scores, floating, and targets, 0 or 1 (of NDCG whole or floating numbers of 0 or more), of one shape: (queries,
  /// documents) or (documents). Does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit
  /// and (on the CPU) NaN scores, targets out of range, and with EmptyQueries::refuse a query without a relevant
  /// document; elsewhere `compute` refuses these.
  void update(const at::Tensor& scores, const at::Tensor& target);
  /// The same for tensors of any one shape, with the number of each document's query, whole numbers.
  void update(const at::Tensor& scores, const at::Tensor& target, const at::Tensor& queries);
  /// The same of the Trees of a step.
  void update(const Tree& predictions, const Tree& targets, int64_t samples);
  /// Throws Error when the options differ.
  void merge(const RankingMetric& other);
  /// Sorts the documents of flat updates, in the order of the numbers of their queries, so that any split of them gives
  /// the same bits. Waits for the device. Throws Error when nothing was seen, when all queries are skipped, and with
  /// EmptyQueries::refuse for a query without a relevant document.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return documents_.empty() && rows_ == 0 && waiting_.empty(); }
  /// False with flat updates: sorting takes too long for a live display.
  [[nodiscard]] bool live() const noexcept { return documents_.empty() && waiting_.empty(); }
  void reset();
  void state(State& state);

  struct Definition {
    const char* name;
    double (*of_query)(const detail::Ranked& ranked);
    bool graded;  ///< Targets are gains, not 0 and 1.
  };

 protected:
  /// Throws Error for a k below 1.
  RankingMetric(const Definition& definition, std::string name, const RankingOptions& options,
                NdcgGain gain = NdcgGain::linear);

 private:
  struct Mean {
    double sum = 0;
    int64_t queries = 0;
  };
  void add(const at::Tensor& scores, const at::Tensor& target, const at::Tensor& queries);
  /// Sorts the documents of one query. `where` makes the place for a message.
  template <class Where>
  void add_query(detail::Document* first, detail::Document* last, Mean& mean, const Where& where) const;
  void settle();

  const Definition* definition_;
  std::string name_;
  RankingOptions options_;
  NdcgGain gain_;
  Mean of_rows_;
  int64_t rows_ = 0;  // skipped ones too
  std::vector<detail::Document> documents_;
  std::vector<std::array<at::Tensor, 3>> waiting_;  // scores, targets, queries or nothing, on their device
};

/// Discounted cumulative gain, divided by that of the best order: the sum of gain / log2(place + 1), places from 1.
/// Called "ndcg", or "ndcg_at_10". Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
class RetrievalNdcg : public RankingMetric {
 public:
  explicit RetrievalNdcg(NdcgOptions options = {});
};

/// 1 / the place of the first relevant document, 0 when it is not among the first k. Called "mrr".
class RetrievalMrr : public RankingMetric {
 public:
  explicit RetrievalMrr(RankingOptions options = {});
};

/// The mean precision at the places of the relevant documents among the first k. Called "map".
class RetrievalMap : public RankingMetric {
 public:
  explicit RetrievalMap(RankingOptions options = {});
};

/// Whether one of the first k documents is relevant. Called "hit_rate".
class RetrievalHitRate : public RankingMetric {
 public:
  explicit RetrievalHitRate(RankingOptions options = {});
};

/// Relevant documents among the first k, divided by k, also when there are fewer documents. Called
/// "retrieval_precision", or "precision_at_10".
class RetrievalPrecision : public RankingMetric {
 public:
  explicit RetrievalPrecision(RankingOptions options = {});
};

/// Relevant documents among the first k, divided by all relevant ones. Called "retrieval_recall", or "recall_at_10".
class RetrievalRecall : public RankingMetric {
 public:
  explicit RetrievalRecall(RankingOptions options = {});
};

/// For `.metrics = {athanor::metrics::retrieval_ndcg({.k = 10})}`. Throw Error for options out of their range.
[[nodiscard]] RetrievalNdcg retrieval_ndcg(NdcgOptions options = {});
[[nodiscard]] RetrievalMrr retrieval_mrr(RankingOptions options = {});
[[nodiscard]] RetrievalMap retrieval_map(RankingOptions options = {});
[[nodiscard]] RetrievalHitRate retrieval_hit_rate(RankingOptions options = {});
[[nodiscard]] RetrievalPrecision retrieval_precision(RankingOptions options = {});
[[nodiscard]] RetrievalRecall retrieval_recall(RankingOptions options = {});

/// The value of a matrix (queries, documents) alone. Waits for the device.
[[nodiscard]] double retrieval_ndcg(const at::Tensor& scores, const at::Tensor& target, NdcgOptions options = {});
[[nodiscard]] double retrieval_mrr(const at::Tensor& scores, const at::Tensor& target, RankingOptions options = {});
[[nodiscard]] double retrieval_map(const at::Tensor& scores, const at::Tensor& target, RankingOptions options = {});
[[nodiscard]] double retrieval_hit_rate(const at::Tensor& scores, const at::Tensor& target,
                                        RankingOptions options = {});
[[nodiscard]] double retrieval_precision(const at::Tensor& scores, const at::Tensor& target,
                                         RankingOptions options = {});
[[nodiscard]] double retrieval_recall(const at::Tensor& scores, const at::Tensor& target, RankingOptions options = {});

}  // namespace athanor::metrics
