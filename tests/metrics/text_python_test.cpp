// SPDX-License-Identifier: Apache-2.0
// The metrics of text beside sacrebleu, rouge-score, nltk and torchmetrics: always against recorded references, and
// against the packages themselves where the Python of the tests has them.
#include <gtest/gtest.h>

#include <map>

#include "athanor/core/error.hpp"
#include "athanor/core/utf8.hpp"
#include "athanor/metrics/bleu.hpp"
#include "athanor/metrics/edit_distance.hpp"
#include "athanor/metrics/error_rate.hpp"
#include "athanor/metrics/exact_match.hpp"
#include "athanor/metrics/porter_stemmer.hpp"
#include "athanor/metrics/rouge.hpp"
#include "athanor/metrics/unicode.hpp"
#include "tests/metrics/peer_process.hpp"

namespace athanor::metrics::text_python_test {
namespace {

using namespace athanor::metrics::testing;
using Json = nlohmann::json;
using Strings = std::vector<std::string>;

/// Of float64 packages: the order of a hundred additions.
constexpr double of_float64 = 1e-9;
/// torchmetrics divides in float32, which rounds by 6e-8 of the value.
constexpr double of_float32 = 1e-6;

BleuTokenizer tokenizer_named(const std::string& name) {
  for (const BleuTokenizer each : {BleuTokenizer::v13a, BleuTokenizer::international, BleuTokenizer::character,
                                   BleuTokenizer::chinese, BleuTokenizer::none}) {
    if (name == bleu_tokenizer_name(each)) return each;
  }
  throw std::runtime_error("no tokenizer is called " + name);
}

BleuOptions options_of(const Json& json) {
  const std::string smoothing = json["smoothing"];
  BleuOptions options{.tokenizer = tokenizer_named(json["tokenizer"]),
                      .smoothing = smoothing == "exp"     ? BleuSmoothing::exponential
                                   : smoothing == "floor" ? BleuSmoothing::floor
                                   : smoothing == "add-k" ? BleuSmoothing::add_k
                                                          : BleuSmoothing::none,
                      .lowercase = json["lowercase"],
                      .effective_order = json["effective_order"],
                      .max_order = json["max_ngram_order"]};
  if (!json["smoothing_value"].is_null()) options.smoothing_value = json["smoothing_value"].get<double>();
  return options;
}

Strings strings_of(const std::vector<std::string_view>& views) { return {views.begin(), views.end()}; }

void check_parts(const Json& problem) {
  for (const Json& each : problem["texts"]) {
    const std::string text = each["text"];
    SCOPED_TRACE("text " + each["text"].dump(-1, ' ', true));
    EXPECT_EQ(detail::lower(text), each["lower"]);
    EXPECT_EQ(strings_of(detail::split(text)), each["split"].get<Strings>());
    EXPECT_EQ(std::string(detail::stripped(text)), each["stripped"]);
    EXPECT_EQ(std::string(detail::without_trailing_space(text)), each["rstripped"]);
    EXPECT_EQ(squad_normalized(text), each["squad"]);
    for (const auto& [name, tokens] : each["tokens"].items()) {
      const std::string tokenized = bleu_tokenize(text, tokenizer_named(name));
      EXPECT_EQ(strings_of(detail::split(tokenized)), tokens.get<Strings>()) << name;
    }
  }
  for (const Json& each : problem["stems"]) {
    EXPECT_EQ(porter_stem(each[0].get<std::string>()), each[1].get<std::string>()) << each[0];
  }
}

void check_long(const Json& problem) {
  for (const Json& pair : problem["pairs"]) {
    EXPECT_EQ(levenshtein(pair[0].get<std::string>(), pair[1].get<std::string>()), pair[2].get<int64_t>());
  }
}

struct Samples {
  Strings predictions;
  std::vector<Strings> references;
  Strings targets;

  explicit Samples(const Json& problem)
      : predictions(problem["predictions"].get<Strings>()),
        references(problem["references"].get<std::vector<Strings>>()) {
    for (const Strings& several : references) targets.push_back(several.front());
  }

  /// `metric` with everything at once, and from parts.
  template <class M>
  std::array<M, 2> both(const M& metric, bool several, std::mt19937& random) const {
    M whole = metric;
    several ? whole.update(predictions, References(references)) : whole.update(predictions, targets);
    return {whole, merged_in_parts(metric, predictions.size(), random, [&](M& part, size_t i) {
              const Strings prediction{predictions[i]};
              several ? part.update(prediction, References(std::vector<Strings>{references[i]}))
                      : part.update(prediction, References(Strings{targets[i]}));
            })};
  }
};

void check_bleu(const Samples& samples, const Json& expected, std::mt19937& random) {
  for (const Bleu& metric : samples.both(bleu(options_of(expected)), true, random)) {
    const BleuScore score = metric.score();
    EXPECT_NEAR(score.value, expected["score"].get<double>(), of_float64);
    EXPECT_EQ(score.matches, expected["matches"].get<std::vector<int64_t>>());
    EXPECT_EQ(score.totals, expected["totals"].get<std::vector<int64_t>>());
    EXPECT_EQ(score.prediction_words, expected["lengths"][0]);
    EXPECT_EQ(score.reference_words, expected["lengths"][1]);
    EXPECT_NEAR(score.brevity_penalty, expected["brevity_penalty"].get<double>(), of_float64);
    const auto precisions = expected["precisions"].get<std::vector<double>>();
    ASSERT_EQ(score.precisions.size(), precisions.size());
    for (size_t n = 0; n < precisions.size(); ++n) EXPECT_NEAR(score.precisions[n], precisions[n], of_float64);
    const std::string theirs = expected["signature"];
    const std::string ours = metric.signature();
    EXPECT_EQ(ours.substr(0, ours.find("|version:")), theirs.substr(0, theirs.find("|version:")));
  }
}

template <class M>
void check_rouge_of(const M& metric, const Samples& samples, const Json& expected, std::mt19937& random) {
  for (const M& each : samples.both(metric, true, random)) {
    const RougeScore score = each.score();
    EXPECT_NEAR(score.precision, expected[0].get<double>(), of_float64);
    EXPECT_NEAR(score.recall, expected[1].get<double>(), of_float64);
    EXPECT_NEAR(score.f, expected[2].get<double>(), of_float64);
    EXPECT_EQ(each.compute(), score.f);
  }
}

void check_rouge(const Samples& samples, const std::string& name, const Json& expected, std::mt19937& random) {
  SCOPED_TRACE(name);
  const std::string kind = name.substr(0, name.find('/'));
  const RougeOptions options{.stemmer = name != kind};
  if (kind == "rougeL") {
    check_rouge_of(rouge_l(options), samples, expected, random);
  } else if (kind == "rougeLsum") {
    check_rouge_of(rouge_lsum(options), samples, expected, random);
  } else {
    check_rouge_of(rouge_n(kind.back() - '0', options), samples, expected, random);
  }
}

void check_kinds(const EditCounts& counts, const Json& expected, size_t length) {
  if (expected.is_null()) return;
  EXPECT_EQ(counts.insertions, expected[0]);
  EXPECT_EQ(counts.deletions, expected[1]);
  EXPECT_EQ(counts.substitutions, expected[2]);
  EXPECT_EQ(counts.hits + counts.deletions + counts.substitutions, static_cast<int64_t>(length));
}

void check_errors(const Samples& samples, const Json& expected, std::mt19937& random,
                  std::map<std::string, int>& compared) {
  const auto& [predictions, references, targets] = samples;
  for (size_t i = 0; i < predictions.size(); ++i) {
    EXPECT_EQ(levenshtein(predictions[i], targets[i]), expected["distances"][i]);
    check_kinds(character_edits(predictions[i], targets[i]), expected["character_kinds"][i],
                code_points(targets[i]).size());
    check_kinds(word_edits(predictions[i], targets[i]), expected["word_kinds"][i], detail::split(targets[i]).size());
  }
  const auto check_rate = [&](const auto& metric, const char* name) {
    for (const auto& each : samples.both(metric, false, random)) {
      if (!expected.contains(name)) {
        EXPECT_THROW((void)each.compute(), Error) << name;
        continue;
      }
      EXPECT_NEAR(each.compute().real(), expected[name].get<double>(),
                  of_float32 * std::max(1.0, expected[name].get<double>()));
      ++compared[name];
    }
  };
  check_rate(cer(), "cer");
  check_rate(wer(), "wer");
  double normalized = 0;
  for (size_t i = 0; i < predictions.size(); ++i) {
    const auto longer = std::max(code_points(predictions[i]).size(), code_points(targets[i]).size());
    normalized += longer == 0 ? 0 : expected["distances"][i].get<double>() / static_cast<double>(longer);
  }
  for (const auto& each : samples.both(edit_distance({.normalized = true}), false, random)) {
    EXPECT_NEAR(each.compute(), normalized / static_cast<double>(predictions.size()), of_float64);
  }
  for (const auto& each : samples.both(edit_distance(), false, random)) {
    if (expected.contains("edit_distance")) {
      EXPECT_NEAR(each.compute(), expected["edit_distance"].get<double>(), of_float32 * 25);
    }
    ++compared["edit_distance"];
  }
}

std::map<std::string, int> check(const Json& problems, uint32_t seed) {
  std::mt19937 random(seed);
  std::map<std::string, int> compared;
  for (const Json& problem : problems) {
    if (problem["family"] == "parts") {
      check_parts(problem);
      continue;
    }
    if (problem["family"] == "long") {
      check_long(problem);
      continue;
    }
    SCOPED_TRACE(problem["case"].get<std::string>() + ", seed " + std::to_string(seed));
    const Samples samples(problem);
    for (const Json& expected : problem["bleu"]) {
      SCOPED_TRACE(expected["signature"].get<std::string>());
      check_bleu(samples, expected, random);
      ++compared["bleu"];
    }
    for (const auto& [name, expected] : problem["rouge"].items()) {
      check_rouge(samples, name, expected, random);
      ++compared[name.substr(0, name.find('/'))];
    }
    check_errors(samples, problem["errors"], random, compared);
    for (const bool normalize : {false, true}) {
      for (const ExactMatch& each : samples.both(exact_match({.normalize = normalize}), true, random)) {
        EXPECT_NEAR(each.compute(), problem["exact_match"][normalize ? "normalized" : "bytes"].get<double>(),
                    of_float32);
        ++compared["exact_match"];
      }
    }
    if (::testing::Test::HasFailure()) break;
  }
  return compared;
}

constexpr size_t metrics = 10;

TEST(TextPython, EqualRecordedReferences) {
  const auto compared = check(recorded_problems("text_reference.json", "text_peer.py", "texts"), 1);
  EXPECT_EQ(compared.size(), metrics);
}

TEST(TextPython, EqualThoseOfSacrebleuRougeScoreNltkAndTorchmetrics) {
  uint32_t seed = 0;
  const Json problems = fresh_problems("text_peer.py", seed, "texts");
  if (problems.is_null()) GTEST_SKIP() << "no packages: only the recorded references count";
  const auto compared = check(problems, seed);
  EXPECT_EQ(compared.size(), metrics);
  for (const auto& [name, count] : compared) EXPECT_GE(count, 30) << name;
}

}  // namespace
}  // namespace athanor::metrics::text_python_test
