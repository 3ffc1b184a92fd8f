// SPDX-License-Identifier: Apache-2.0
// Entities beside seqeval, in every scheme and average, with the letter before and behind the type, from texts and from
// tensors of class numbers.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "athanor/metrics/span_scores.hpp"
#include "tests/metrics/metrics_testing.hpp"
#include "tests/metrics/peer_process.hpp"

namespace athanor::metrics::span_python_test {
namespace {

using namespace athanor::metrics::testing;
using Json = nlohmann::json;

const std::map<std::string, TagScheme> schemes = {
    {"lenient", TagScheme::lenient}, {"IOB1", TagScheme::iob1},   {"IOB2", TagScheme::iob2},  {"IOE1", TagScheme::ioe1},
    {"IOE2", TagScheme::ioe2},       {"IOBES", TagScheme::iobes}, {"BILOU", TagScheme::bilou}};

/// Both divide whole numbers in float64; seqeval's F goes by way of precision and recall.
constexpr double tolerance = 1e-12;

struct Problem {
  TaggedSentences predictions;
  TaggedSentences targets;
  std::vector<std::string> names;
  at::Tensor predicted_classes;
  at::Tensor target_classes;

  explicit Problem(const Json& json)
      : predictions(json["predictions"].get<TaggedSentences>()), targets(json["targets"].get<TaggedSentences>()) {
    size_t longest = 1;
    for (const auto& sentence : targets) longest = std::max(longest, sentence.size());
    const auto rows = static_cast<int64_t>(targets.size());
    const auto columns = static_cast<int64_t>(longest);
    predicted_classes = labels(numbers_of(predictions, longest, 0), {rows, columns});
    target_classes = labels(numbers_of(targets, longest, -100), {rows, columns});
  }

  std::vector<int64_t> numbers_of(const TaggedSentences& sentences, size_t longest, int64_t padding) {
    std::vector<int64_t> numbers;
    for (const auto& sentence : sentences) {
      for (size_t i = 0; i < longest; ++i) {
        if (i >= sentence.size()) {
          numbers.push_back(padding);
          continue;
        }
        const auto found = std::find(names.begin(), names.end(), sentence[i]);
        numbers.push_back(found - names.begin());
        if (found == names.end()) names.push_back(sentence[i]);
      }
    }
    return numbers;
  }
};

template <class M>
std::vector<M> all_ways(const Problem& problem, SpanOptions options, std::mt19937& random) {
  M of_texts(options);
  of_texts.update(problem.predictions, problem.targets);
  options.names = problem.names;
  M of_classes(options);
  if (options.names.empty()) return {of_texts};
  of_classes.update(problem.predicted_classes, problem.target_classes);
  return {of_texts, of_classes, merged_in_parts(M(options), problem.targets.size(), random, [&](M& part, size_t i) {
            if (random() % 2 == 0) {
              part.update(TaggedSentences{problem.predictions[i]}, TaggedSentences{problem.targets[i]});
            } else {
              const auto row = static_cast<int64_t>(i);
              part.update(problem.predicted_classes[row], problem.target_classes[row]);
            }
          })};
}

template <class M>
void check_score(const Problem& problem, const SpanOptions& options, const Json& values, size_t score,
                 std::mt19937& random) {
  const bool nothing = values["types"].empty();
  for (const auto& [name, average] : std::map<std::string, Average>{
           {"micro", Average::micro}, {"macro", Average::macro}, {"weighted", Average::weighted}}) {
    SCOPED_TRACE(name);
    SpanOptions averaged = options;
    averaged.average = average;
    for (const M& metric : all_ways<M>(problem, averaged, random)) {
      if (nothing) {
        EXPECT_TRUE(std::isnan(metric.compute().real()));
      } else {
        EXPECT_NEAR(metric.compute().real(), values[name][score].template get<double>(), tolerance);
      }
    }
  }
  SpanOptions of_types = options;
  of_types.average = Average::per_class;
  for (const M& metric : all_ways<M>(problem, of_types, random)) {
    const Tree each = metric.compute();
    ASSERT_EQ(each.size(), values["types"].size());
    const std::map<std::string, SpanCounts> counts = metric.counts();
    for (size_t i = 0; i < each.size(); ++i) {
      const std::string type = values["types"][i];
      EXPECT_NEAR(each[type].real(), values["per_class"][score][i].template get<double>(), tolerance);
      EXPECT_EQ(counts.at(type).targets, values["targets"][i].template get<int64_t>());
    }
  }
}

std::map<std::string, int> check(const Json& problems, uint32_t seed) {
  std::mt19937 random(seed);
  std::map<std::string, int> compared;
  for (const Json& json : problems) {
    const SpanOptions options{.scheme = schemes.at(json["scheme"]), .suffix = json["suffix"]};
    const std::string scheme = json["scheme"].get<std::string>() + (options.suffix ? ", suffix" : "");
    SCOPED_TRACE(scheme + ", " + json["case"].get<std::string>() + ", seed " + std::to_string(seed) + ": " +
                 json["predictions"].dump() + json["targets"].dump());
    const Problem problem(json);
    check_score<SpanPrecision>(problem, options, json["values"], 0, random);
    check_score<SpanRecall>(problem, options, json["values"], 1, random);
    check_score<SpanF1>(problem, options, json["values"], 2, random);
    ++compared[scheme];
    if (::testing::Test::HasFailure()) break;
  }
  return compared;
}

TEST(SpanPython, EqualRecordedReferences) {
  EXPECT_EQ(check(recorded_problems("span_reference.json", "text_peer.py", "spans"), 1).size(), 2 * schemes.size());
}

TEST(SpanPython, EqualThoseOfSeqeval) {
  uint32_t seed = 0;
  const Json problems = fresh_problems("text_peer.py", seed, "spans");
  if (problems.is_null()) GTEST_SKIP() << "no seqeval: only the recorded references count";
  const auto compared = check(problems, seed);
  EXPECT_EQ(compared.size(), 2 * schemes.size());
  for (const auto& [name, count] : compared) EXPECT_GE(count, 30) << name;
}

}  // namespace
}  // namespace athanor::metrics::span_python_test
