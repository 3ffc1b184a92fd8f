// SPDX-License-Identifier: Apache-2.0
// Small cases of the metrics of classification that can be done by hand, and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "athanor/metrics/metrics.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::classification_test {
namespace {

using namespace athanor::metrics::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

const float nan = std::numeric_limits<float>::quiet_NaN();

TEST(Accuracy, MultiClass) {
  const at::Tensor scores = floats({1, 2, 3, 3, 2, 1, 1, 3, 2}, {3, 3});
  EXPECT_DOUBLE_EQ(accuracy(scores, labels({2, 0, 0})), 2.0 / 3);
  EXPECT_DOUBLE_EQ(accuracy(scores.to(at::kDouble), labels({2, 0, 0}).to(at::kInt)), 2.0 / 3);
  EXPECT_DOUBLE_EQ(accuracy(scores.to(at::kBFloat16), labels({2, 0, 0}).to(at::kByte)), 2.0 / 3);
  EXPECT_DOUBLE_EQ(accuracy(scores.t().contiguous().t(), labels({2, 2, 0, 2, 0, 2}).slice(0, 0, 6, 2)), 2.0 / 3);
}

TEST(Accuracy, TiesGoToTheLowerClass) {
  EXPECT_EQ(accuracy(floats({1, 1, 0, 2}, {1, 4}), labels({3})), 1.0);
  EXPECT_EQ(accuracy(floats({1, 1, 1}, {1, 3}), labels({0})), 1.0);
  EXPECT_EQ(accuracy(floats({0, 9, 9}, {1, 3}), labels({1})), 1.0);
  const float infinite = std::numeric_limits<float>::infinity();
  EXPECT_EQ(accuracy(floats({-infinite, -infinite}, {1, 2}), labels({0})), 1.0);
}

TEST(Accuracy, RefusesNanWithTheRow) {
  Accuracy metric;
  metric.update(floats({1, 0}, {1, 2}), labels({0}));
  const std::string text = message([&] { metric.update(floats({1, 0, 3, nan}, {2, 2}), labels({0, 1})); });
  EXPECT_THAT(
      text, AllOf(HasSubstr("a score is NaN"), HasSubstr("accuracy, row 1 of the batch"), HasSubstr("3.000000, nan")));
  EXPECT_EQ(metric.compute().real(), 1.0) << "a refused batch was counted";
  EXPECT_THAT(message([] { (void)accuracy(floats({1, nan}), labels({0, 1})); }), HasSubstr("row 1"));
  EXPECT_THAT(message([] {
                (void)accuracy(floats({1, nan, 2}, {1, 3}), labels({0}), {.top_k = 2});
              }),
              HasSubstr("1.000000, nan, 2.000000"));
  EXPECT_EQ(accuracy(floats({1, 0, nan, nan}, {2, 2}), labels({0, -1}), {.ignore_index = -1}), 1.0)
      << "what stands beside an ignored target is not looked at";
}

TEST(Accuracy, RefusesProbabilitiesOutOfRange) {
  const at::Tensor scores = floats({0.2F, 1.5F});
  const std::string text = message([&] { (void)accuracy(scores, labels({0, 1}), {.from_logits = false}); });
  EXPECT_THAT(text, AllOf(HasSubstr("a probability is out of range"), HasSubstr("row 1"), HasSubstr("1.5"),
                          HasSubstr("from_logits")));
  EXPECT_EQ(accuracy(scores, labels({1, 1})), 1.0) << "as logits they are fine";
  EXPECT_THAT(
      message([] {
        (void)f1(floats({-0.5F, 1}, {1, 2}), labels({0, 1}, {1, 2}), {.kind = Kind::multilabel, .from_logits = false});
      }),
      HasSubstr("-0.5"));
}

TEST(Accuracy, TopK) {
  const at::Tensor scores = floats({4, 3, 2, 1, 4, 3, 2, 1, 1, 1, 1, 1}, {3, 4});
  const at::Tensor target = labels({1, 3, 1});
  EXPECT_DOUBLE_EQ(accuracy(scores, target), 0.0);
  EXPECT_DOUBLE_EQ(accuracy(scores, target, {.top_k = 2}), 2.0 / 3);
  EXPECT_DOUBLE_EQ(accuracy(scores, target, {.top_k = 4}), 1.0);
  EXPECT_EQ(accuracy({.top_k = 3}).name(), "top3_acc");
  EXPECT_EQ(accuracy().name(), "acc");
  EXPECT_THAT(message([&] { (void)accuracy(scores, target, {.top_k = 5}); }), HasSubstr("top_k up to 4"));
}

TEST(Accuracy, Binary) {
  const at::Tensor logits = floats({-1, 0.5, 0, 2});
  EXPECT_DOUBLE_EQ(accuracy(logits, labels({0, 1, 0, 1})), 1.0);
  EXPECT_DOUBLE_EQ(accuracy(logits.reshape({4, 1}), floats({0, 1, 0, 1})), 1.0);
  EXPECT_DOUBLE_EQ(accuracy(logits, floats({0, 1, 0, 1}, {4, 1})), 1.0);
  EXPECT_DOUBLE_EQ(accuracy(logits, labels({0, 1, 0, 1}).to(at::kBool), {.threshold = 0.7}), 0.75);
  EXPECT_DOUBLE_EQ(accuracy(floats({0.2, 0.6, 0.5, 0.9}), labels({0, 1, 0, 1}), {.from_logits = false}), 1.0);
  EXPECT_DOUBLE_EQ(accuracy(floats({1, 2, 2, 1}, {2, 2}), labels({1, 0}), {.kind = Kind::binary}), 1.0);
  EXPECT_DOUBLE_EQ(accuracy(floats({1, -1, 1, -1}, {2, 2}), labels({1, 0, 0, 0}, {2, 2}), {.kind = Kind::binary}),
                   0.75);
}

TEST(Accuracy, PlacesOneHotAndDecidedClasses) {
  // (1, 2, 1, 3): two scores at three places.
  const at::Tensor scores = floats({1, 5, 9, 2, 4, 8}, {1, 2, 1, 3});
  EXPECT_DOUBLE_EQ(accuracy(scores, labels({1, 0, 0}, {1, 1, 3})), 1.0);
  EXPECT_DOUBLE_EQ(accuracy(scores, labels({1, 0, 0}, {1, 1, 3}), {.top_k = 2}), 1.0);
  EXPECT_DOUBLE_EQ(accuracy(floats({1, 2, 2, 1}, {2, 2}), floats({0, 1, 0, 1}, {2, 2}), {.kind = Kind::multiclass}),
                   0.5);
  EXPECT_DOUBLE_EQ(accuracy(labels({7, 8, 9}), labels({7, 8, 1})), 2.0 / 3);
}

TEST(Accuracy, IgnoresAnIndex) {
  const at::Tensor scores = floats({1, 0, 1, 0, 1, 0}, {3, 2});
  EXPECT_DOUBLE_EQ(accuracy(scores, labels({0, -100, 1}), {.ignore_index = -100}), 0.5);
  EXPECT_DOUBLE_EQ(accuracy(scores, labels({0, -100, 1}), {.top_k = 2, .ignore_index = -100}), 1.0);
  EXPECT_THAT(message([&] {
                (void)accuracy(scores, labels({5, 5, 5}), {.ignore_index = 5});
              }),
              HasSubstr("only targets that it ignores"));
}

TEST(Accuracy, NamesALabelOutOfRangeAndItsRow) {
  Accuracy metric;
  metric.update(floats({1, 0}, {1, 2}), labels({0}));
  const std::string text = message([&] { metric.update(floats({1, 0, 1, 0}, {2, 2}), labels({0, 2})); });
  EXPECT_THAT(text, AllOf(HasSubstr("a target is out of range"), HasSubstr("accuracy, row 1 of the batch"),
                          HasSubstr("got:      2\n"), HasSubstr("from 0 to 1")));
  EXPECT_EQ(metric.compute().real(), 1.0) << "a refused batch was counted";
  EXPECT_THAT(message([] { (void)accuracy(floats({0, 0}, {1, 2, 1}), labels({-1}, {1, 1})); }), HasSubstr("-1"));
  EXPECT_THAT(message([] {
                (void)accuracy(floats({0, 0, 0, 0}, {1, 2, 2}), labels({0, 2}, {1, 2}));
              }),
              HasSubstr("row 0 of the batch, element 1 of the row"));
  EXPECT_THAT(message([] { (void)accuracy(floats({0, 0}), floats({0, 0.5})); }), HasSubstr("0.5"));
  EXPECT_THAT(message([] { (void)accuracy(floats({0, 0}), floats({nan, 0})); }), HasSubstr("nan"));
  EXPECT_THAT(message([] {
                (void)confusion_matrix(labels({0, 3}), labels({0, 1}));
              }),
              HasSubstr("a predicted class is out of range"));
}

TEST(Accuracy, RefusesWhatDoesNotFit) {
  const auto refused = [](const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options = {}) {
    return message([&] { (void)accuracy(predictions, target, options); });
  };
  const at::Tensor four = floats({1, 2, 3, 4}, {2, 2});
  EXPECT_THAT(refused(four, labels({0, 1, 0})), HasSubstr("predictions float32 (2, 2), target int64 (3)"));
  EXPECT_THAT(refused(four, labels({0, 1}, {2, 1})), HasSubstr("squeeze(1)"));
  EXPECT_THAT(refused(four, floats({0, 1, 0, 1}, {2, 2})), HasSubstr("two ways"));
  EXPECT_THAT(refused(four, at::Tensor()), HasSubstr("undefined"));
  EXPECT_THAT(refused(four, labels({0, 1}), {.classes = 3}), HasSubstr("with 3 classes"));
  EXPECT_THAT(refused(floats({1, 2}), labels({0, 1}), {.kind = Kind::multiclass}), HasSubstr("a score for each class"));
  EXPECT_THAT(refused(floats({1, 2}), labels({0, 1}), {.top_k = 2}), HasSubstr("top_k has no meaning"));
  EXPECT_THAT(refused(four, labels({0, 1}), {.kind = Kind::binary, .threshold = 0.4}), HasSubstr("two scores"));
  EXPECT_THAT(refused(four, labels({0, 1}).to(at::kMeta)), HasSubstr("different devices"));
  EXPECT_THAT(message([] { (void)accuracy({.top_k = 0}); }), HasSubstr("top_k is too small"));
  EXPECT_THAT(message([] { (void)accuracy({.threshold = 1.5}); }), HasSubstr("no probability"));
  EXPECT_THAT(message([] { (void)accuracy({.kind = Kind::multilabel, .top_k = 2}); }),
              HasSubstr("top_k has no meaning"));
  EXPECT_THAT(message([] { (void)accuracy({.classes = 1}); }), HasSubstr("classes is too small"));
  EXPECT_THAT(message([] { (void)accuracy({.kind = Kind::binary, .classes = 3}); }), HasSubstr("two classes"));
}

TEST(ConfusionMatrix, RowsAreTargets) {
  const at::Tensor scores = floats({1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0}, {4, 3});
  const at::Tensor target = labels({0, 0, 1, 1});
  EXPECT_TRUE(equal_bits(confusion_matrix(scores, target), labels({1, 1, 0, 0, 2, 0, 0, 0, 0}, {3, 3})));
  EXPECT_TRUE(equal_bits(confusion_matrix(scores, target, {.normalize = Normalize::target}),
                         doubles({0.5, 0.5, 0, 0, 1, 0, 0, 0, 0}, {3, 3})));
  EXPECT_TRUE(equal_bits(confusion_matrix(scores, target, {.normalize = Normalize::prediction}),
                         doubles({1, 1.0 / 3, 0, 0, 2.0 / 3, 0, 0, 0, 0}, {3, 3})));
  EXPECT_TRUE(equal_bits(confusion_matrix(scores, target, {.normalize = Normalize::all}),
                         doubles({0.25, 0.25, 0, 0, 0.5, 0, 0, 0, 0}, {3, 3})));
  ConfusionMatrix metric;
  metric.update(scores, target);
  EXPECT_THAT(message([&] { metric.update(floats({1, 0}, {1, 2}), labels({0})); }), HasSubstr("classes changed"));
}

TEST(PrecisionRecall, Binary) {
  // Three positives predicted, two of them right, one missed.
  const at::Tensor logits = floats({1, 1, 1, -1, -1});
  const at::Tensor target = labels({1, 1, 0, 1, 0});
  EXPECT_DOUBLE_EQ(precision(logits, target), 2.0 / 3);
  EXPECT_DOUBLE_EQ(recall(logits, target), 2.0 / 3);
  EXPECT_DOUBLE_EQ(f1(logits, target), 2.0 / 3);
  EXPECT_DOUBLE_EQ(recall(logits, target, {.average = Average::macro}), (2.0 / 3 + 0.5) / 2);
  EXPECT_DOUBLE_EQ(precision(floats({-1, -1}), labels({1, 0})), 0.0) << "nothing predicted";
  EXPECT_DOUBLE_EQ(recall(floats({-1, 1}), labels({0, 0})), 0.0) << "no positives";
}

TEST(PrecisionRecall, Averages) {
  // Class 3 occurs nowhere; class 2 is predicted once and never true.
  const at::Tensor scores = floats({1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, {4, 4});
  const at::Tensor target = labels({0, 1, 1, 1});
  EXPECT_DOUBLE_EQ(precision(scores, target), (0.5 + 1 + 0) / 3);
  EXPECT_DOUBLE_EQ(recall(scores, target), (1 + 1.0 / 3 + 0) / 3);
  EXPECT_DOUBLE_EQ(f1(scores, target, {.average = Average::weighted}), (2.0 / 3 * 1 + 0.5 * 3) / 4);
  EXPECT_DOUBLE_EQ(f1(scores, target, {.average = Average::micro}), accuracy(scores, target));
  F1 metric({.average = Average::per_class});
  metric.update(scores, target);
  const Tree each = metric.compute();
  ASSERT_EQ(each.size(), 4u);
  EXPECT_DOUBLE_EQ(each["1"].real(), 0.5);
  EXPECT_DOUBLE_EQ(each["3"].real(), 0);
  EXPECT_THAT(message([&] { (void)f1(scores, target, {.average = Average::per_class}); }), HasSubstr("for each class"));
}

TEST(PrecisionRecall, RefusesAnEmptyResultAndOtherOptions) {
  EXPECT_THAT(message([] { (void)f1().compute(); }), HasSubstr("f1"));
  EXPECT_THAT(message([] {
                (void)recall(floats({0, 0}), labels({9, 9}), {.ignore_index = 9});
              }),
              HasSubstr("only targets that it ignores"));
  F1 metric;
  EXPECT_THAT(message([&] { metric.merge(F1({.average = Average::micro})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] {
                (void)f1(labels({0, 5}), labels({0, 5}), {.kind = Kind::multiclass});
              }),
              HasSubstr("set .classes"));
}

}  // namespace
}  // namespace athanor::metrics::classification_test
