// SPDX-License-Identifier: Apache-2.0
// Ranking and perplexity beside scikit-learn and torchmetrics, with ties, empty queries and queries that are split.
#include <gtest/gtest.h>

#include <map>

#include "athanor/core/error.hpp"
#include "athanor/metrics/perplexity.hpp"
#include "athanor/metrics/ranking.hpp"
#include "tests/metrics/metrics_testing.hpp"
#include "tests/metrics/peer_process.hpp"

namespace athanor::metrics::ranking_python_test {
namespace {

using namespace athanor::metrics::testing;
using Json = nlohmann::json;

/// scikit-learn and perplexity in float64: the order of some additions. torchmetrics' ranking is float32.
double tolerance_of(const std::string& name) { return name.starts_with("ndcg") || name == "perplexity" ? 1e-9 : 1e-6; }

std::optional<int64_t> k_of(const Json& problem) {
  if (problem["k"].is_null()) return {};
  return problem["k"].get<int64_t>();
}

std::string base_of(const std::string& name) { return name.substr(name.find(':') + 1); }

RankingOptions options_of(const Json& problem) {
  const std::string empty = problem["empty"];
  return {.k = k_of(problem),
          .empty_queries = empty == "one"    ? EmptyQueries::one
                           : empty == "skip" ? EmptyQueries::skip
                                             : EmptyQueries::zero,
          .ties = problem["worst"].get<bool>() ? TiedScores::worst : TiedScores::average};
}

template <class M>
void check_binary(const M& empty, const Json& problem, const Json& expected, const std::string& name,
                  std::mt19937& random) {
  const at::Tensor scores = doubles(problem["scores"].get<std::vector<double>>());
  const at::Tensor target = labels(problem["targets"].get<std::vector<int64_t>>());
  const at::Tensor queries = labels(problem["queries"].get<std::vector<int64_t>>());
  M whole = empty;
  whole.update(scores, target, queries);
  const M merged = merged_in_parts(empty, static_cast<size_t>(scores.numel()), random, [&](M& part, size_t i) {
    const auto from = static_cast<int64_t>(i);
    const auto row = [&](const at::Tensor& tensor) { return tensor.slice(0, from, from + 1); };
    part.update(row(scores), row(target), row(queries));
  });
  if (expected.is_null()) {
    EXPECT_THROW((void)whole.compute(), Error) << name;
    return;
  }
  EXPECT_NEAR(whole.compute(), expected.get<double>(), tolerance_of(name)) << name;
  EXPECT_EQ(merged.compute(), whole.compute()) << name << ": any split gives the same bits";
}

void check_binary(const Json& problem, std::mt19937& random) {
  const RankingOptions options = options_of(problem);
  for (const auto& [name, expected] : problem["values"].items()) {
    const std::string metric = base_of(name);
    if (metric == "mrr") check_binary(retrieval_mrr(options), problem, expected, name, random);
    if (metric == "map") check_binary(retrieval_map(options), problem, expected, name, random);
    if (metric == "hit_rate") check_binary(retrieval_hit_rate(options), problem, expected, name, random);
    if (metric == "precision" && (options.k || !name.starts_with("torch"))) {
      check_binary(retrieval_precision(options), problem, expected, name, random);
    }
    if (metric == "recall") check_binary(retrieval_recall(options), problem, expected, name, random);
  }
}

void check_graded(const Json& problem, std::mt19937& random) {
  const auto shape = problem["shape"].get<std::vector<int64_t>>();
  const at::Tensor scores = doubles(problem["scores"].get<std::vector<double>>(), shape);
  const at::Tensor target = labels(problem["targets"].get<std::vector<int64_t>>(), shape);
  for (const auto& [name, expected] : problem["values"].items()) {
    const std::string metric = base_of(name);
    const RetrievalNdcg empty({.k = k_of(problem),
                               .gain = metric == "ndcg/exponential" ? NdcgGain::exponential : NdcgGain::linear,
                               .ties = metric == "ndcg/worst" ? TiedScores::worst : TiedScores::average});
    RetrievalNdcg whole = empty, flat = empty;
    whole.update(scores, target);
    std::vector<int64_t> queries;
    for (int64_t i = 0; i < scores.numel(); ++i) queries.push_back(i / shape[1]);
    flat.update(scores.to(at::kFloat), target.to(at::kInt), labels(queries, shape));
    const auto merged =
        merged_in_parts(empty, static_cast<size_t>(shape[0]), random, [&](RetrievalNdcg& part, size_t i) {
          const auto row = static_cast<int64_t>(i);
          part.update(scores[row], target[row]);
        });
    for (const RetrievalNdcg& each : {whole, flat, merged}) {
      EXPECT_NEAR(each.compute(), expected.get<double>(), tolerance_of(name)) << name;
    }
  }
}

void check_language(const Json& problem, std::mt19937& random) {
  const auto shape = problem["shape"].get<std::vector<int64_t>>();
  const at::Tensor logits = doubles(problem["scores"].get<std::vector<double>>(), shape);
  const at::Tensor target = labels(problem["targets"].get<std::vector<int64_t>>(), {shape[0], shape[1]});
  const double expected = problem["values"]["perplexity"];
  EXPECT_NEAR(perplexity(logits, target), expected, 1e-9 * expected);
  EXPECT_NEAR(perplexity(logits.log_softmax(-1), target, {.log_probabilities = true}), expected, 1e-9 * expected);
  EXPECT_NEAR(perplexity(logits.log_softmax(-1), target), expected, 1e-9 * expected);
  // float32 holds the logits, which are quarters of 16ths, exactly; the large ones are summed in float32.
  EXPECT_NEAR(perplexity(logits.to(at::kFloat), target.to(at::kInt)), expected, 1e-5 * expected);
  const Perplexity merged =
      merged_in_parts(Perplexity(), static_cast<size_t>(shape[0]), random, [&](Perplexity& part, size_t i) {
        const auto row = static_cast<int64_t>(i);
        part.update(logits[row], target[row]);
      });
  EXPECT_NEAR(merged.compute(), expected, 1e-9 * expected);
}

std::map<std::string, int> check(const Json& problems, uint32_t seed) {
  std::mt19937 random(seed);
  std::map<std::string, int> compared;
  for (const Json& problem : problems) {
    SCOPED_TRACE(problem["family"].get<std::string>() + ", " + problem["case"].get<std::string>() + ", seed " +
                 std::to_string(seed) + (problem["family"] == "language" ? "" : ": " + problem.dump()));
    if (problem["family"] == "binary") check_binary(problem, random);
    if (problem["family"] == "graded") check_graded(problem, random);
    if (problem["family"] == "language") check_language(problem, random);
    for (const auto& [name, expected] : problem["values"].items()) ++compared[name];
    if (::testing::Test::HasFailure()) break;
  }
  return compared;
}

constexpr size_t names = 15;

TEST(RankingPython, EqualRecordedReferences) {
  EXPECT_EQ(check(recorded_problems("ranking_reference.json", "text_peer.py", "ranking"), 1).size(), names);
}

TEST(RankingPython, EqualThoseOfScikitLearnAndTorchmetrics) {
  uint32_t seed = 0;
  const Json problems = fresh_problems("text_peer.py", seed, "ranking");
  if (problems.is_null()) GTEST_SKIP() << "no packages: only the recorded references count";
  const auto compared = check(problems, seed);
  EXPECT_EQ(compared.size(), names);
  for (const auto& [name, count] : compared) {
    if (name.starts_with("torchmetrics:")) continue;
    EXPECT_GE(count, 30) << name;
  }
}

}  // namespace
}  // namespace athanor::metrics::ranking_python_test
