// SPDX-License-Identifier: Apache-2.0
// Ranking: values by hand, queries in parts, what is refused.
#include "athanor/metrics/ranking.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "athanor/core/error.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::ranking_test {
namespace {

using namespace athanor::metrics::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

Metrics all(RankingOptions options = {}) {
  return {
      retrieval_ndcg({.k = options.k, .empty_queries = options.empty_queries, .ignore_index = options.ignore_index}),
      retrieval_mrr(options),
      retrieval_map(options),
      retrieval_hit_rate(options),
      retrieval_precision(options),
      retrieval_recall(options)};
}

TEST(Ranking, ValuesByHand) {
  const at::Tensor scores = doubles({0.9, 0.8, 0.7, 0.6});
  const at::Tensor target = labels({0, 1, 0, 1});
  EXPECT_DOUBLE_EQ(retrieval_mrr(scores, target), 0.5);
  EXPECT_DOUBLE_EQ(retrieval_map(scores, target), (1.0 / 2 + 2.0 / 4) / 2);
  EXPECT_DOUBLE_EQ(retrieval_hit_rate(scores, target, {.k = 1}), 0);
  EXPECT_DOUBLE_EQ(retrieval_hit_rate(scores, target, {.k = 2}), 1);
  EXPECT_DOUBLE_EQ(retrieval_precision(scores, target, {.k = 8}), 0.25);
  EXPECT_DOUBLE_EQ(retrieval_recall(scores, target, {.k = 2}), 0.5);
  EXPECT_DOUBLE_EQ(retrieval_ndcg(scores, target), (1 / std::log2(3) + 1 / std::log2(5)) / (1 + 1 / std::log2(3)));
  EXPECT_DOUBLE_EQ(retrieval_ndcg(doubles({2, 1}), labels({1, 3}), {.gain = NdcgGain::exponential}),
                   (1 + 7 / std::log2(3)) / (7 + 1 / std::log2(3)));
}

TEST(Ranking, EqualScoresAreTheMeanOfAllOrders) {
  const at::Tensor scores = doubles({1, 1, 1});
  const at::Tensor target = labels({1, 0, 0});
  EXPECT_DOUBLE_EQ(retrieval_mrr(scores, target), (1 + 1.0 / 2 + 1.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(retrieval_hit_rate(scores, target, {.k = 2}), 2.0 / 3);
  EXPECT_DOUBLE_EQ(retrieval_mrr(scores, target, {.ties = TiedScores::worst}), 1.0 / 3);
  EXPECT_DOUBLE_EQ(retrieval_hit_rate(scores, target, {.k = 2, .ties = TiedScores::worst}), 0);
}

TEST(Ranking, NamesAndDirections) {
  std::vector<std::string> names;
  for (const Metric& metric : all()) {
    names.push_back(metric.name());
    EXPECT_EQ(metric.direction(), Direction::up);
  }
  for (const Metric& metric : all({.k = 10})) names.push_back(metric.name());
  EXPECT_EQ(names, (std::vector<std::string>{"ndcg", "mrr", "map", "hit_rate", "retrieval_precision",
                                             "retrieval_recall", "ndcg_at_10", "mrr_at_10", "map_at_10",
                                             "hit_rate_at_10", "precision_at_10", "recall_at_10"}));
}

TEST(Ranking, AQueryThatIsSplitBetweenBatchesIsOneQuery) {
  const at::Tensor scores = floats({3, 1, 2, 5, 4, 6});
  const at::Tensor target = labels({0, 1, 1, 0, 1, 0});
  const at::Tensor queries = labels({7, 7, 7, -2, -2, 7});
  std::mt19937 random(3);
  for (const Metric& empty : all({.k = 2})) {
    SCOPED_TRACE(empty.name());
    Metric whole = empty;
    whole.update(Tree(scores), Tree{{"target", target}, {"query", queries}}, 6);
    EXPECT_FALSE(whole.live());
    std::vector<int64_t> order = {0, 1, 2, 3, 4, 5};
    for (int round = 0; round < 5; ++round) {
      std::shuffle(order.begin(), order.end(), random);
      Metric left = empty, right = empty;
      for (const int64_t i : order) {
        Metric& part = random() % 2 == 0 ? left : right;
        const auto row = [&](const at::Tensor& tensor) { return tensor.slice(0, i, i + 1); };
        part.update(Tree(row(scores)), Tree::list({row(target), row(queries)}), 1);
      }
      Metric restored = empty;
      load_state(restored, save_state(right));
      restored.merge(left);
      EXPECT_EQ(restored.compute().real(), whole.compute().real());
    }
  }
}

TEST(Ranking, RowsAndFlatDocumentsGiveTheSame) {
  const at::Tensor scores = floats({3, 1, 2, 5, 4, 9}, {2, 3});
  const at::Tensor target = labels({0, 1, -1, 1, 0, 0}, {2, 3});
  for (const Metric& empty : all({.ignore_index = -1})) {
    Metric rows = empty, flat = empty;
    rows.update(Tree(scores), Tree(target), 2);
    flat.update(Tree(scores), Tree::list({target, labels({0, 0, 0, 1, 1, 1}, {2, 3})}), 2);
    EXPECT_DOUBLE_EQ(rows.compute().real(), flat.compute().real()) << empty.name();
    EXPECT_TRUE(rows.live());
    Metric merged = empty;
    load_state(merged, save_state(rows));
    merged.merge(flat);
    EXPECT_DOUBLE_EQ(merged.compute().real(), flat.compute().real()) << empty.name();
  }
}

TEST(Ranking, QueriesWithoutARelevantDocument) {
  const at::Tensor scores = floats({2, 1, 2, 1}, {2, 2});
  const at::Tensor target = labels({0, 0, 1, 0}, {2, 2});
  const at::Tensor queries = labels({5, 5, 6, 6}, {2, 2});
  for (const bool flat : {false, true}) {
    const auto value = [&](EmptyQueries empty) {
      RetrievalMrr metric({.empty_queries = empty});
      flat ? metric.update(scores, target, queries) : metric.update(scores, target);
      return metric.compute();
    };
    EXPECT_EQ(value(EmptyQueries::zero), 0.5);
    EXPECT_EQ(value(EmptyQueries::one), 1);
    EXPECT_EQ(value(EmptyQueries::skip), 1);
    EXPECT_THAT(message([&] { (void)value(EmptyQueries::refuse); }),
                AllOf(HasSubstr(flat ? "mrr, query 5" : "mrr, row 0 of the batch"), HasSubstr("2 documents")));
  }
  EXPECT_THAT(message([] { (void)retrieval_map(floats({1}), labels({0}), {.empty_queries = EmptyQueries::skip}); }),
              HasSubstr("no query has a relevant document"));
}

TEST(Ranking, RefusesWhatHasNoOrder) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Metric& empty : all({.k = 1})) {
    SCOPED_TRACE(empty.name());
    Metric metric = empty;
    const auto refused = [&](const at::Tensor& scores, const Tree& target) {
      return message([&] { metric.update(Tree(scores), target, 1); });
    };
    EXPECT_THAT(message([&] { (void)metric.compute(); }), HasSubstr("before anything was seen"));
    EXPECT_THAT(refused(floats({1, 2, nan, 3}, {2, 2}), labels({0, 1, 0, 1}, {2, 2})),
                AllOf(HasSubstr("a score is NaN"), HasSubstr("row 1 of the batch, element 0")));
    EXPECT_THAT(refused(floats({1, 2}), labels({0, -3})), AllOf(HasSubstr("row 1 of the batch"), HasSubstr("-3")));
    EXPECT_THAT(refused(floats({1, 2}), labels({0})), HasSubstr("scores float32 (2), target int64 (1)"));
    EXPECT_THAT(refused(labels({1, 2}), labels({0, 1})), HasSubstr("scores int64 (2)"));
    EXPECT_THAT(refused(floats({1, 2}), Tree::list({labels({0, 1}), floats({0, 0})})),
                HasSubstr("queries float32 (2)"));
    EXPECT_TRUE(metric.empty());
  }
  EXPECT_THAT(message([] { (void)retrieval_mrr(floats({1}), labels({2})); }), HasSubstr("0 or 1"));
  EXPECT_THAT(message([] { (void)retrieval_ndcg(floats({1}), labels({1001}), {.gain = NdcgGain::exponential}); }),
              HasSubstr("1001"));
  EXPECT_THAT(message([] { (void)retrieval_map({.k = 0}); }), HasSubstr("k is out of range"));
  EXPECT_THAT(message([] { retrieval_map().merge(retrieval_map({.k = 2})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { retrieval_ndcg().merge(retrieval_ndcg({.gain = NdcgGain::exponential})); }),
              HasSubstr("different options"));
}

}  // namespace
}  // namespace athanor::metrics::ranking_test
