// SPDX-License-Identifier: Apache-2.0
// The metrics of text: values that can be worked out by hand, what they refuse, and texts in Trees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/metrics/metrics.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::text_metrics_test {
namespace {

using namespace athanor::metrics::testing;
using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

Tree tree_of(const Strings& texts) { return Tree(Tree::List(texts.begin(), texts.end())); }

Metrics of_texts() {
  return {bleu(),
          rouge_n(1),
          rouge_n(2, {.stemmer = true}),
          rouge_l({.measure = RougeMeasure::recall}),
          rouge_lsum(),
          cer(),
          wer({.kinds = true}),
          edit_distance(),
          edit_distance({.normalized = true}),
          exact_match(),
          {"squad", exact_match({.normalize = true})}};
}

TEST(TextMetrics, ValuesByHand) {
  EXPECT_DOUBLE_EQ(wer({"the cat sat"}, {"the cat sat down"}), 0.25);
  EXPECT_DOUBLE_EQ(cer({"abd"}, {"abcd"}), 0.25);
  EXPECT_EQ(levenshtein("kitten", "sitting"), 3);
  EXPECT_EQ(levenshtein("", "né"), 2) << "code points, not bytes";
  EXPECT_DOUBLE_EQ(edit_distance({"rain", "lnaguaeg"}, {"shine", "language"}), 3.5);
  EXPECT_DOUBLE_EQ(edit_distance({"ab", ""}, {"ac", ""}, {.normalized = true}), 0.25);
  EXPECT_DOUBLE_EQ(exact_match({"The cat!", "a"}, {"cat", "b"}, {.normalize = true}), 0.5);
  EXPECT_DOUBLE_EQ(exact_match({"The cat!"}, {"cat"}), 0);
  // 5 of 6 words; 3 of 5 pairs; 1 of 4 threes; none of 3 fours, so half of one: 1/6.
  EXPECT_NEAR(bleu({"the cat sat on the mat"}, {"the cat sat in the mat"}),
              100 * std::pow(5.0 / 6 * 3 / 5 * 1 / 4 * 1 / 6, 0.25), 1e-12);
  EXPECT_DOUBLE_EQ(sentence_bleu("the cat", {"a cat", "the cat"}), 100);
  const RougeScore score = rouge_l({"the cat sat"}, {"cat the sat down"});
  EXPECT_DOUBLE_EQ(score.precision, 2.0 / 3);
  EXPECT_DOUBLE_EQ(score.recall, 0.5);
  EXPECT_DOUBLE_EQ(score.f, 2 * (2.0 / 3) * 0.5 / (2.0 / 3 + 0.5));
}

TEST(TextMetrics, KindsOfErrors) {
  EXPECT_EQ(word_edits("the big cat sit", "the cat sat down"),
            (EditCounts{.insertions = 1, .deletions = 1, .substitutions = 1, .hits = 2}));
  // Both "replace both" and "put one in, leave one out" take two errors: the second keeps a character.
  EXPECT_EQ(character_edits("ba", "ab"), (EditCounts{.insertions = 1, .deletions = 1, .substitutions = 0, .hits = 1}));
  EXPECT_EQ(character_edits("", ""), EditCounts{});
  WordErrorRate metric = wer({.kinds = true});
  metric.update({"a b"}, {"a c d"});
  const Tree value = metric.compute();
  EXPECT_DOUBLE_EQ(value["rate"].real(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(value["substitutions"].real(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(value["deletions"].real(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(value["insertions"].real(), 0);
  EXPECT_EQ(metric.counts().hits, 1);
  WordErrorRate plain = wer();
  plain.update({"a"}, {"b"});
  EXPECT_THAT(message([&] { (void)plain.counts(); }), HasSubstr("metrics::wer({.kinds = true})"));
}

TEST(TextMetrics, NamesAndDirections) {
  std::vector<std::string> names;
  for (const Metric& metric : of_texts()) names.push_back(metric.name());
  EXPECT_EQ(names, (Strings{"bleu", "rouge1", "rouge2", "rougeL_recall", "rougeLsum", "cer", "wer", "edit_distance",
                            "normalized_edit_distance", "exact_match", "squad"}));
  EXPECT_EQ(Metric(bleu()).direction(), Direction::up);
  EXPECT_EQ(Metric(rouge_l()).direction(), Direction::up);
  EXPECT_EQ(Metric(exact_match()).direction(), Direction::up);
  EXPECT_EQ(Metric(span_f1()).direction(), Direction::up);
  for (const Metric& metric : Metrics{cer(), wer(), edit_distance(), perplexity()}) {
    EXPECT_EQ(metric.direction(), Direction::down) << metric.name();
  }
}

TEST(TextMetrics, TheSignatureSaysHowItWasMade) {
  Bleu metric({.tokenizer = BleuTokenizer::chinese, .smoothing = BleuSmoothing::floor, .lowercase = true});
  EXPECT_THAT(message([&] { (void)metric.signature(); }), HasSubstr("before anything was seen"));
  metric.update({"中文"}, {"中文"});
  EXPECT_EQ(metric.signature(), "nrefs:1|case:lc|eff:no|tok:zh|smooth:floor[0.10]|version:athanor");
  metric.update(Strings{"a"}, References(std::vector<Strings>{{"a", "b"}}));
  EXPECT_THAT(metric.signature(), HasSubstr("nrefs:var|"));
}

TEST(TextMetrics, TreesOfTextsMergeAndGoOnFromASavedState) {
  const Strings said = {"the cat sat on a mat", "the cats running", "relational flies", ""};
  const std::vector<Strings> right = {{"the cat sat on the mat"}, {"a cat runs"}, {"relate a fly"}, {"nothing"}};
  for (const Metric& empty : of_texts()) {
    SCOPED_TRACE(empty.name());
    Metric whole = empty, first = empty, second = empty;
    Tree::List lists;
    for (const Strings& each : right) lists.push_back(tree_of(each));
    whole.update(tree_of(said), Tree(lists), 4);
    first.update(tree_of({said[0], said[1]}), tree_of({right[0][0], right[1][0]}), 2);
    second.update(Tree(said[2]), Tree(right[2][0]), 1);
    Metric restored = empty;
    load_state(restored, save_state(second));
    restored.update(tree_of({said[3]}), Tree::list({tree_of(right[3])}), 1);
    EXPECT_FALSE(restored.empty());
    first.merge(restored);
    EXPECT_TRUE(compare_states(save_state(first), save_state(whole)).empty())
        << "sums of halves and thirds of few samples are exact or in the same order";
    EXPECT_EQ(first.compute().describe(), whole.compute().describe());
    EXPECT_TRUE(empty.alike(Metric(empty)));
    first.reset();
    EXPECT_TRUE(compare_states(save_state(first), save_state(restored = empty)).empty());
  }
}

TEST(TextMetrics, NoValueBeforeAnyUpdate) {
  Metrics all = of_texts();
  for (const Metric& metric : Metrics{span_f1(), perplexity(), decoded(bleu(), [](auto) { return std::string(); })}) {
    all.push_back(metric);
  }
  for (const Metric& metric : all) {
    EXPECT_TRUE(metric.empty()) << metric.name();
    EXPECT_THAT(message([&] { (void)metric.compute(); }), HasSubstr("before anything was seen")) << metric.name();
  }
}

TEST(TextMetrics, InvalidUtf8IsNamedWithItsPlaceAndNotCounted) {
  const std::string lone = "caf\xE9";              // Latin-1
  const std::string surrogate = "ab\xED\xA0\x80";  // U+D800
  const std::string overlong = "\xC0\xAF";
  const std::string beyond = "x\xF4\x90\x80\x80";
  for (const Metric& empty : of_texts()) {
    SCOPED_TRACE(empty.name());
    Metric metric = empty;
    const auto refused = [&](const Strings& said, const Strings& right) {
      return message([&] { metric.update(tree_of(said), tree_of(right), 2); });
    };
    EXPECT_THAT(refused({"a", lone}, {"a", "b"}), HasSubstr("prediction 1, byte 3"));
    EXPECT_THAT(refused({"a", lone}, {"a", "b"}), HasSubstr("byte 0xE9"));
    EXPECT_THAT(refused({"a", "b"}, {"a", surrogate}), HasSubstr("target 1, byte 2"));
    EXPECT_THAT(refused({overlong, "b"}, {"a", "b"}), HasSubstr("prediction 0, byte 0"));
    EXPECT_THAT(refused({"a", "b"}, {beyond, "b"}), HasSubstr("target 0, byte 1"));
    EXPECT_TRUE(metric.empty());
  }
  EXPECT_THAT(message([&] { (void)levenshtein("a", lone); }), HasSubstr("levenshtein, target 0, byte 3"));
}

TEST(TextMetrics, OtherNumbersOfTextsAreRefused) {
  for (const Metric& empty : of_texts()) {
    SCOPED_TRACE(empty.name());
    Metric metric = empty;
    EXPECT_THAT(message([&] {
                  metric.update(tree_of({"a", "b"}), tree_of({"a"}), 2);
                }),
                HasSubstr("2 predictions, 1 targets"));
    EXPECT_THAT(message([&] { metric.update(tree_of({"a"}), Tree::list({Tree(Tree::List{})}), 1); }),
                HasSubstr("0 references"));
    EXPECT_THAT(message([&] { metric.update(Tree(labels({1})), tree_of({"a"}), 1); }), HasSubstr("int64 (1)"));
    EXPECT_THAT(message([&] { metric.update(tree_of({"a"}), Tree::list({Tree(1)}), 1); }), HasSubstr("got:      1"));
    EXPECT_TRUE(metric.empty());
  }
  for (const Metric& empty : Metrics{cer(), wer(), edit_distance()}) {
    Metric metric = empty;
    EXPECT_THAT(message([&] {
                  metric.update(tree_of({"a"}), Tree::list({tree_of({"a", "b"})}), 1);
                }),
                HasSubstr("2 references"));
  }
}

TEST(TextMetrics, ReferencesThatAreAllEmptyHaveNoErrorRate) {
  EXPECT_THAT(message([] {
                (void)cer({"abc", ""}, {"", ""});
              }),
              HasSubstr("2 references without a character, 3 errors"));
  EXPECT_THAT(message([] { (void)wer({"a b"}, {" \t"}); }), HasSubstr("1 references without a word, 2 errors"));
}

TEST(TextMetrics, OptionsOutOfRange) {
  EXPECT_THAT(message([] { (void)bleu({.max_order = 0}); }), HasSubstr("max_order is out of range"));
  EXPECT_THAT(message([] { (void)bleu({.smoothing = BleuSmoothing::floor, .smoothing_value = -1}); }), HasSubstr("-1"));
  EXPECT_THAT(message([] { (void)bleu({.smoothing_value = 1}); }), HasSubstr("no meaning"));
  EXPECT_THAT(message([] { (void)rouge_n(0); }), HasSubstr("1 to 9"));
  EXPECT_THAT(message([] { bleu().merge(bleu({.lowercase = true})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { rouge_l().merge(rouge_l({.stemmer = true})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { rouge_n(1).merge(rouge_n(2)); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { wer().merge(wer({.kinds = true})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { exact_match().merge(exact_match({.normalize = true})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { edit_distance().merge(edit_distance({.normalized = true})); }),
              HasSubstr("different options"));
}

TEST(SpanMetrics, RefuseWhatIsNoTag) {
  SpanF1 metric;
  const TaggedSentences fine = {{"O", "B-PER"}};
  for (const std::string broken : {"", "PER", "O-PER", "b-PER", "BPER", "L-PER"}) {
    const std::string text = message([&] { metric.update(TaggedSentences{{"O", broken}}, fine); });
    EXPECT_THAT(text, HasSubstr("span_f1, prediction 0, token 1"));
    EXPECT_THAT(text, HasSubstr("'" + broken + "'"));
    EXPECT_THAT(text, HasSubstr("O, B-TYPE, I-TYPE, E-TYPE, S-TYPE"));
  }
  EXPECT_THAT(
      message([] { (void)span_f1(TaggedSentences{{"S-PER"}}, TaggedSentences{{"O"}}, {.scheme = TagScheme::iob2}); }),
      HasSubstr("O, I-TYPE, B-TYPE"));
  EXPECT_THAT(message([&] { metric.update(fine, TaggedSentences{{"O"}}); }), HasSubstr("2 predicted tags, 1 in the"));
  EXPECT_THAT(message([&] { metric.update(fine, TaggedSentences{}); }), HasSubstr("1 predicted sentences, 0 targets"));
  EXPECT_THAT(message([&] { metric.update(labels({0}), labels({0})); }), HasSubstr("but no .names"));
  EXPECT_THAT(message([&] { metric.update(Tree("O"), Tree("O"), 1); }), HasSubstr("a list of lists of texts"));
  EXPECT_TRUE(metric.empty());
  EXPECT_THAT(message([] { (void)span_f1({.names = {"O", "X-PER"}}); }), HasSubstr(".names[1]"));
  EXPECT_THAT(message([] { span_f1().merge(span_f1({.scheme = TagScheme::iob1})); }), HasSubstr("different options"));
  EXPECT_THAT(message([&] { (void)span_f1(fine, fine, {.average = Average::per_class}); }), HasSubstr("per_class"));
}

TEST(SpanMetrics, RefuseALetterOnTheWrongSide) {
  const TaggedSentences before = {{"O", "B-PER"}}, behind = {{"O", "PER-B"}};
  EXPECT_EQ(span_f1(before, before), 1.0);
  EXPECT_EQ(span_f1(behind, behind, {.suffix = true}), 1.0);
  EXPECT_THAT(message([&] { (void)span_f1(behind, behind); }), HasSubstr(".suffix = true for PER-B"));
  for (const std::string broken : {"", "PER", "PER-O", "PER-b", "PERB", "PER-L", "B-PER", "-"}) {
    const std::string text = message([&] {
      (void)span_f1(TaggedSentences{{"O", broken}}, TaggedSentences{{"O", "O"}}, {.suffix = true});
    });
    EXPECT_THAT(text, HasSubstr("span_f1, prediction 0, token 1"));
    EXPECT_THAT(text, HasSubstr("'" + broken + "'"));
    EXPECT_THAT(text, HasSubstr("O, TYPE-B, TYPE-I, TYPE-E, TYPE-S"));
    EXPECT_THAT(text, HasSubstr(".suffix = false for B-PER"));
  }
  EXPECT_THAT(message([] { (void)span_f1({.names = {"O", "B-PER"}, .suffix = true}); }), HasSubstr(".names[1]"));
  EXPECT_THAT(message([] { span_f1().merge(span_f1({.suffix = true})); }), HasSubstr("different options"));
}

TEST(SpanMetrics, RefuseClassesOutOfRangeAndNan) {
  const SpanF1 empty({.names = {"O", "B-PER", "I-PER"}});
  SpanF1 metric = empty;
  EXPECT_THAT(message([&] {
                metric.update(labels({0, 3, 1, 1}, {2, 2}), labels({0, 1, 1, 1}, {2, 2}));
              }),
              HasSubstr("the class of a prediction is out of range"));
  EXPECT_THAT(message([&] {
                metric.update(labels({0, 1, 1, 1}, {2, 2}), labels({0, 1, -7, 1}, {2, 2}));
              }),
              ::testing::AllOf(HasSubstr("row 1 of the batch, element 0"), HasSubstr("-7")));
  EXPECT_THAT(message([&] { metric.update(labels({0, 1}), labels({0})); }), HasSubstr("int64 (2), target int64 (1)"));
  EXPECT_THAT(message([&] { metric.update(floats({0, 1}, {1, 2}), labels({0})); }), HasSubstr("float32 (1, 2)"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message([&] {
                metric.update(floats({0, 1, 2, 0, nan, 2}, {1, 2, 3}), labels({0, 1}, {1, 2}));
              }),
              ::testing::AllOf(HasSubstr("a score is NaN"), HasSubstr("row 0 of the batch, element 1"),
                               HasSubstr("nan, 2.000000")));
  EXPECT_TRUE(metric.empty());
}

TEST(SpanMetrics, ScoresClassesAndTextsCountTheSame) {
  const SpanOptions options{.names = {"O", "B-PER", "I-PER"}};
  SpanF1 of_scores(options), of_classes(options), of_trees(options);
  // The greatest scores are B-PER, I-PER, O; the last token is padding.
  of_scores.update(floats({0, 2, 1, 0, 1, 2, 2, 1, 0, 0, 2, 0}, {1, 4, 3}), labels({1, 2, 0, -100}, {1, 4}));
  of_classes.update(labels({1, 2, 0, 1}, {1, 4}), labels({1, 2, 0, -100}, {1, 4}));
  of_trees.update(Tree::list({tree_of({"B-PER", "I-PER", "O"})}), Tree::list({tree_of({"B-PER", "I-PER", "O"})}), 1);
  for (SpanF1* metric : {&of_scores, &of_classes, &of_trees}) {
    EXPECT_EQ(metric->counts().at("PER"), (SpanCounts{.right = 1, .predicted = 1, .targets = 1}));
    EXPECT_EQ(metric->compute().real(), 1);
    SpanF1 restored(options);
    load_state(restored, save_state(*metric));
    restored.update(TaggedSentences{{"B-NEW"}}, TaggedSentences{{"O"}});
    SpanF1 again({.names = options.names});
    load_state(again, save_state(restored));
    EXPECT_EQ(again.counts(), restored.counts());
    EXPECT_NEAR(again.compute().real(), 2.0 / 3, 1e-15);
  }
}

TEST(PerplexityMetric, RefusesWhatHasNoValue) {
  const at::Tensor logits = floats({1, 0, 0, 2, 1, 2}, {1, 2, 3});
  Perplexity metric;
  EXPECT_THAT(
      message([&] {
        metric.update(logits, labels({0, 3}, {1, 2}));
      }),
      ::testing::AllOf(HasSubstr("row 0 of the batch, element 1"), HasSubstr("got:      3"), HasSubstr("0 to 2")));
  EXPECT_THAT(message([&] {
                metric.update(logits, labels({0}, {1, 1}));
              }),
              HasSubstr("predictions float32 (1, 2, 3), target int64 (1, 1)"));
  EXPECT_THAT(message([&] { metric.update(labels({1}, {1, 1}), labels({0})); }), HasSubstr("int64 (1, 1)"));
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message([&] {
                metric.update(floats({1, nan, 0}, {1, 3}), labels({0}));
              }),
              ::testing::AllOf(HasSubstr("a score is NaN"), HasSubstr("1.000000, nan, 0.000000")));
  EXPECT_THAT(message([&] { metric.update(floats({1, infinity, 0}, {1, 3}), labels({0})); }), HasSubstr("no softmax"));
  EXPECT_TRUE(metric.empty());
  Perplexity of_logs({.log_probabilities = true});
  EXPECT_THAT(message([&] {
                of_logs.update(logits, labels({0, 0}, {1, 2}));
              }),
              ::testing::AllOf(HasSubstr("a logarithm of a probability is above 0"), HasSubstr("1.000000")));
  metric.update(floats({1, nan, 0}, {1, 3}), labels({-100}));
  EXPECT_THAT(message([&] { (void)metric.compute(); }), HasSubstr("only targets that it ignores"));
  metric.update(floats({-infinity, 0, 0}, {1, 3}), labels({0}));
  EXPECT_EQ(metric.compute(), infinity);
  EXPECT_THAT(message([&] { metric.merge(of_logs); }), HasSubstr("different options"));
}

TEST(PerplexityMetric, LargeVocabulariesRefuseToo) {
  const at::Tensor logits = floats(std::vector<float>(4 * 2000, 0.5F), {2, 2, 2000});
  const at::Tensor target = labels({0, 1999, 5, -100}, {2, 2});
  EXPECT_NEAR(perplexity(logits, target), 2000, 2000 * 1e-6) << "float32 rounds the sum of exponentials by 6e-8";
  EXPECT_NEAR(perplexity(logits.to(at::kBFloat16), target), 2000, 2000 * 1e-6);
  at::Tensor broken = logits.clone();
  broken.mutable_data_ptr<float>()[2 * 2000 + 7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(
      message([&] { (void)perplexity(broken, target); }),
      ::testing::AllOf(HasSubstr("a score is NaN"), HasSubstr("row 1 of the batch, element 0"), HasSubstr("…")));
}

TEST(DecodedMetric, DecodesRowsWithoutPadding) {
  const auto decode = [](std::span<const int64_t> ids) {
    std::string text;
    for (const int64_t id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
    return text;
  };
  Metric metric = decoded(wer(), decode);
  EXPECT_EQ(metric.name(), "wer");
  EXPECT_EQ(metric.direction(), Direction::down);
  metric.update(Tree(labels({1, 2, -100, 4, 5, 6}, {2, 3})), Tree(labels({1, 2, 3, 4, 5, 9, -100, -100}, {2, 4})), 2);
  // "1 2" for "1 2 3 4", "4 5 6" for "5 9".
  EXPECT_DOUBLE_EQ(metric.compute().real(), 4.0 / 6);
  Metric restored = decoded(wer(), decode);
  load_state(restored, save_state(metric));
  restored.merge(metric);
  EXPECT_DOUBLE_EQ(restored.compute().real(), 4.0 / 6);
  EXPECT_THAT(message([&] { metric.update(Tree(floats({1})), Tree(labels({1})), 1); }),
              ::testing::AllOf(HasSubstr("wer, predictions"), HasSubstr("float32 (1)"), HasSubstr("argmax")));
  EXPECT_THAT(message([&] {
                metric.update(Tree(labels({1}, {1, 1})), Tree(labels({1, 2}, {2, 1})), 1);
              }),
              HasSubstr("int64 (2, 1)"));
  EXPECT_THAT(message([] { (void)decoded(wer(), nullptr); }), HasSubstr("no function"));
}

}  // namespace
}  // namespace athanor::metrics::text_metrics_test
