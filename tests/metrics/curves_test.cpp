// SPDX-License-Identifier: Apache-2.0
// Curves and areas: by hand, the sort beneath them, what has no value, and what is refused.
#include "athanor/metrics/curves.hpp"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "athanor/metrics/calibration_error.hpp"
#include "athanor/metrics/exponentials.hpp"
#include "athanor/metrics/log_loss.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/radix_sort.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::curves_test {
namespace {

using namespace athanor::metrics::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

const float nan = std::numeric_limits<float>::quiet_NaN();

std::vector<double> list(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<double>(), tensor.const_data_ptr<double>() + tensor.numel()};
}

TEST(Auroc, ByHand) {
  // Of the four pairs of a positive and a negative two are in order, one is a tie.
  EXPECT_DOUBLE_EQ(auroc(floats({3, 1, 1, 2}), labels({1, 1, 0, 0})), 2.5 / 4);
  EXPECT_EQ(auroc(floats({1, 2, 3, 4}), labels({0, 0, 1, 1})), 1.0);
  EXPECT_EQ(auroc(floats({4, 3, 2, 1}), labels({0, 0, 1, 1})), 0.0);
  EXPECT_EQ(auroc(floats({5, 5, 5}), labels({0, 1, 0})), 0.5);
  EXPECT_EQ(auroc(floats({0.0F, -0.0F}), labels({0, 1})), 0.5) << "the zeros are equal";
  const float infinite = std::numeric_limits<float>::infinity();
  EXPECT_EQ(auroc(floats({-infinite, infinite, 0}), labels({0, 1, 0})), 1.0);
  EXPECT_EQ(auroc(floats({0, 2, 3, 0}, {2, 2}), labels({1, 0}), {.kind = Kind::binary}), 1.0) << "two scores a row";
}

// Counts of pairs, written as the definition says, over ties and orders; the sort and the walk must give the same
// number.
TEST(Auroc, IsThePartOfPairsInOrder) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    const auto samples = static_cast<int64_t>(2 + random() % 60);
    const at::Tensor scores = random_scores(random, {samples});
    const at::Tensor target = random_labels(random, {samples}, 2);
    double in_order = 0, pairs = 0;
    for (int64_t i = 0; i < samples; ++i) {
      for (int64_t j = 0; j < samples; ++j) {
        if (target[i].item().toLong() != 1 || target[j].item().toLong() != 0) continue;
        const double apart = (scores[i] - scores[j]).item().toDouble();
        in_order += apart > 0 ? 1 : apart == 0 ? 0.5 : 0;
        ++pairs;
      }
    }
    if (pairs == 0) {
      EXPECT_TRUE(std::isnan(auroc(scores, target)));
    } else {
      EXPECT_EQ(auroc(scores, target), in_order / pairs) << seed;
    }
  }
}

TEST(Auroc, AnySplitAndOrderGiveTheSameBits) {
  std::mt19937 random(8);
  const at::Tensor scores = random_normal(random, {3000}).to(at::kFloat);
  const at::Tensor target = random_labels(random, {3000}, 2);
  const double expected = auroc(scores, target);
  for (const int64_t size : {1, 7, 500}) {
    std::vector<Auroc> parts(4);
    for (int64_t from = 0; from < 3000; from += size) {
      parts[random() % 4].update(scores.slice(0, from, from + size), target.slice(0, from, from + size));
    }
    std::shuffle(parts.begin(), parts.end(), random);
    Auroc whole;
    for (const Auroc& part : parts) whole.merge(part);
    EXPECT_EQ(whole.compute().real(), expected);
    Auroc loaded;
    load_state(loaded, save_state(whole));
    EXPECT_EQ(loaded.compute().real(), expected);
  }
  EXPECT_EQ(auroc(scores.flip(0), target.flip(0)), expected);
  EXPECT_EQ(auroc(scores.to(at::kDouble), target), expected);
}

TEST(Auroc, AFloat64BatchAmongFloat32OnesLosesNothing) {
  Auroc metric;
  metric.update(floats({1, 2}), labels({0, 1}));
  metric.update(doubles({1 + 1e-12}), labels({1}));
  EXPECT_EQ(metric.compute().real(), 1.0);
  Auroc narrow;
  narrow.update(floats({1}), labels({1}));
  narrow.merge(metric);
  EXPECT_DOUBLE_EQ(narrow.compute().real(), (0.5 + 1 + 1) / 3);
}

TEST(RadixSort, SortsLikeTheStandardLibrary) {
  const int threads = at::get_num_threads();
  for (const int count : {1, 3}) {
    at::set_num_threads(count);
    for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{2048}, size_t{300'001}}) {
      std::mt19937 random(static_cast<uint32_t>(size));
      std::normal_distribution<double> normal;
      std::vector<float> floats(size);
      std::vector<double> doubles(size);
      for (size_t i = 0; i < size; ++i) {
        doubles[i] = normal(random) * std::pow(10, static_cast<int>(random() % 20) - 10);
        floats[i] = random() % 3 == 0 ? 1.5F : static_cast<float>(doubles[i]);
      }
      if (size > 10) {
        floats[3] = -std::numeric_limits<float>::infinity();
        floats[4] = std::numeric_limits<float>::infinity();
        floats[5] = std::numeric_limits<float>::denorm_min();
        doubles[6] = std::numeric_limits<double>::lowest();
      }
      std::vector<float> expected_floats = floats;
      std::vector<double> expected_doubles = doubles;
      std::sort(expected_floats.begin(), expected_floats.end());
      std::sort(expected_doubles.begin(), expected_doubles.end());
      detail::sort_ascending(floats);
      detail::sort_ascending(doubles);
      EXPECT_EQ(floats, expected_floats) << size;
      EXPECT_EQ(doubles, expected_doubles) << size;
    }
  }
  at::set_num_threads(threads);
}

TEST(Curves, PointsByHand) {
  const at::Tensor scores = floats({0.9F, 0.5F, 0.5F, 0.25F});
  const at::Tensor target = labels({1, 0, 1, 0});
  const Tree roc = roc_curve(scores, target);
  EXPECT_EQ(list(roc["fpr"].tensor()), (std::vector<double>{0, 0, 0.5, 1}));
  EXPECT_EQ(list(roc["tpr"].tensor()), (std::vector<double>{0, 0.5, 1, 1}));
  EXPECT_EQ(list(roc["thresholds"].tensor()),
            (std::vector<double>{std::numeric_limits<double>::infinity(), static_cast<double>(0.9F), 0.5, 0.25}));
  const Tree curve = precision_recall_curve(scores, target);
  EXPECT_EQ(list(curve["precision"].tensor()), (std::vector<double>{0.5, 2.0 / 3, 1, 1}));
  EXPECT_EQ(list(curve["recall"].tensor()), (std::vector<double>{1, 1, 0.5, 0}));
  EXPECT_EQ(list(curve["thresholds"].tensor()), (std::vector<double>{0.25, 0.5, static_cast<double>(0.9F)}));
  EXPECT_DOUBLE_EQ(average_precision(scores, target), 0.5 * 1 + 0.5 * 2 / 3);
  EXPECT_DOUBLE_EQ(kolmogorov_smirnov(scores, target), 0.5);
  const Tree binned = precision_recall_curve(scores, target, {.from_logits = false, .bins = 3});
  EXPECT_EQ(list(binned["thresholds"].tensor()), (std::vector<double>{0, 0.5, 1}));
  EXPECT_EQ(list(binned["recall"].tensor()), (std::vector<double>{1, 1, 0, 0}));
  EXPECT_EQ(list(binned["precision"].tensor()), (std::vector<double>{0.5, 2.0 / 3, 1, 1})) << "nothing predicted: 1";
}

TEST(Curves, LogitsOfManyClassesAreComparedAsProbabilities) {
  // Row by row softmax turns the order of the scores of class 0 around.
  const at::Tensor logits = floats({5, 9, 9, 1, 0, 0}, {2, 3});
  EXPECT_EQ(once(auroc({.average = Average::per_class}), logits, labels({1, 0}))["0"].real(), 1.0);
}

TEST(Curves, WhatHasNoValueIsNanAndLeftOutOfAverages) {
  EXPECT_TRUE(std::isnan(auroc(floats({1, 2}), labels({1, 1}))));
  EXPECT_TRUE(std::isnan(auroc(floats({1, 2}), labels({0, 0}))));
  EXPECT_TRUE(std::isnan(average_precision(floats({1, 2}), labels({0, 0}))));
  EXPECT_EQ(average_precision(floats({1, 2}), labels({1, 1})), 1.0);
  EXPECT_TRUE(std::isnan(kolmogorov_smirnov(floats({1}), labels({1}))));
  const at::Tensor scores = floats({3, 0, 0, 0, 3, 0}, {2, 3});
  const Tree each = once(auroc({.average = Average::per_class}), scores, labels({0, 1}));
  EXPECT_EQ(each["0"].real(), 1.0);
  EXPECT_TRUE(std::isnan(each["2"].real()));
  EXPECT_EQ(auroc(scores, labels({0, 1})), 1.0);
  EXPECT_TRUE(std::isnan(auroc(scores, labels({2, 2}))));
}

TEST(Curves, RefuseNanProbabilitiesAndLabels) {
  Auroc metric;
  metric.update(floats({1, 2}), labels({0, 1}));
  EXPECT_THAT(message([&] {
                metric.update(floats({1, nan}), labels({0, 1}));
              }),
              AllOf(HasSubstr("a score is NaN"), HasSubstr("auroc, row 1 of the batch"), HasSubstr("nan")));
  EXPECT_THAT(message([&] {
                metric.update(floats({1, 1}), labels({0, 2}));
              }),
              AllOf(HasSubstr("a target is out of range"), HasSubstr("row 1"), HasSubstr("got:      2")));
  EXPECT_EQ(metric.compute().real(), 1.0) << "a refused batch was kept";
  EXPECT_THAT(message([] {
                (void)average_precision(floats({0.5F, 1.25F}), labels({0, 1}), {.from_logits = false});
              }),
              AllOf(HasSubstr("a probability is out of range"), HasSubstr("1.25")));
  EXPECT_THAT(message([] {
                (void)auroc(floats({0, 1, nan, 0, 1, 2}, {2, 3}), labels({0, 1}));
              }),
              AllOf(HasSubstr("row 0"), HasSubstr("0.000000, 1.000000, nan")));
  EXPECT_EQ(auroc(floats({1, 2, nan}), labels({0, 1, -1}), {.ignore_index = -1}), 1.0);
  EXPECT_EQ(auroc(floats({1, nan, 2, nan}, {2, 2}), labels({0, -1, 1, -1}, {2, 2}),
                  {.kind = Kind::multilabel, .ignore_index = -1}),
            1.0);
  EXPECT_THAT(message([] { (void)auroc(floats({1, 2}), floats({0, 0.5F})); }), HasSubstr("no whole number"));
}

TEST(Curves, RefuseShapesAndOptions) {
  EXPECT_THAT(message([] { (void)auroc(labels({0, 1}), labels({0, 1})); }), HasSubstr("decided already"));
  EXPECT_THAT(message([] {
                (void)auroc(floats({1, 2, 3}), labels({0, 1}));
              }),
              HasSubstr("predictions float32 (3), target int64 (2)"));
  EXPECT_THAT(message([] { (void)auroc({.bins = 1}); }), HasSubstr("bins is too small"));
  EXPECT_THAT(message([] { (void)roc_curve({.average = Average::macro}); }), HasSubstr("curves have no mean"));
  EXPECT_THAT(message([] { (void)auroc().compute(); }), HasSubstr("before anything was seen"));
  EXPECT_THAT(message([] { (void)auroc({.bins = 5}).compute(); }), HasSubstr("before anything was seen"));
  EXPECT_THAT(message([] { (void)auroc(floats({1}), labels({-1}), {.ignore_index = -1}); }),
              HasSubstr("only targets that it ignores"));
  EXPECT_THAT(message([] {
                (void)auroc(floats({1, 2}, {1, 2}), labels({0}), {.average = Average::per_class});
              }),
              HasSubstr("metrics::once"));
  Auroc metric;
  EXPECT_THAT(message([&] { metric.merge(auroc({.bins = 5})); }), HasSubstr("different options"));
  metric.update(floats({1, 2}, {1, 2}), labels({0}));
  EXPECT_THAT(message([&] { metric.update(floats({1, 2, 3}, {1, 3}), labels({0})); }), HasSubstr("classes changed"));
}

TEST(LogLoss, ByHand) {
  EXPECT_DOUBLE_EQ(log_loss(doubles({0.25, 0.5}), labels({1, 0}), {.from_logits = false}),
                   -(std::log(0.25) + std::log(0.5)) / 2);
  EXPECT_DOUBLE_EQ(log_loss(doubles({0, 0}, {1, 2}), labels({1})), std::log(2.0));
  EXPECT_DOUBLE_EQ(log_loss(doubles({1000, 0}, {1, 2}), labels({1})), 1000) << "no overflow";
  EXPECT_DOUBLE_EQ(log_loss(doubles({-800}), labels({1})), 800);
  EXPECT_NEAR(log_loss(doubles({1, 0}, {1, 2}), labels({1}), {.from_logits = false}), 52 * std::log(2.0), 1e-9)
      << "never infinite for a probability, as in scikit-learn";
  EXPECT_THAT(message([] { (void)log_loss(doubles({2.5}), labels({1}), {.from_logits = false}); }), HasSubstr("2.5"));
  EXPECT_THAT(message([] { (void)log_loss().compute(); }), HasSubstr("log loss"));
}

TEST(Exponentials, AreThoseOfTheStandardLibrary) {
  for (const size_t count : {1U, 2U, 3U, 4U, 5U, 31U, 20000U}) {
    std::vector<double> values;
    for (size_t i = 0; i < count; ++i) values.push_back(-700.0 * static_cast<double>(i) / 20000);
    std::vector<double> found = values;
    detail::exponentials_below_zero(found.data(), static_cast<int64_t>(count));
    for (size_t i = 0; i < count; ++i) {
      const double expected = std::exp(values[i]);
      ASSERT_NEAR(found[i], expected, 2 * std::numeric_limits<double>::epsilon() * expected) << values[i];
    }
  }
  const double infinite = std::numeric_limits<double>::infinity();
  double awkward[] = {0, -infinite, -1e300, std::nan(""), -5e-324};
  detail::exponentials_below_zero(awkward, 5);
  EXPECT_EQ(awkward[0], 1.0);
  EXPECT_LT(awkward[1], 1e-300);
  EXPECT_EQ(awkward[1], awkward[2]);
  EXPECT_TRUE(std::isnan(awkward[3]));
  EXPECT_EQ(awkward[4], 1.0);
}

TEST(CalibrationError, ManyRowsAndManyClasses) {
  for (const auto& [rows, classes] : {std::pair<int64_t, int64_t>{1, 700}, {700, 2}, {103, 5}, {3, 512}}) {
    std::mt19937 random(5);
    std::vector<double> logits;
    for (int64_t i = 0; i < rows * classes; ++i) logits.push_back(std::normal_distribution(0.0, 3.0)(random));
    const at::Tensor scores = doubles(logits, {rows, classes});
    std::vector<int64_t> truth;
    for (int64_t i = 0; i < rows; ++i) truth.push_back(static_cast<int64_t>(random() % static_cast<uint32_t>(classes)));
    // One bin, and one for a confidence of exactly 1: of the means of all rows.
    const double expected = std::abs(std::get<0>(scores.softmax(1).max(1)).mean().item<double>() -
                                     scores.argmax(1).eq(labels(truth)).to(at::kDouble).mean().item<double>());
    EXPECT_NEAR(calibration_error(scores, labels(truth), {.bins = 1}), expected, 1e-13);
  }
}

TEST(CalibrationError, ByHand) {
  // Two bins: 0.2 and 0.4, of which one is 1; 0.8, which is 1.
  const at::Tensor scores = doubles({0.2, 0.4, 0.8});
  const at::Tensor target = labels({0, 1, 1});
  const auto with = [&](CalibrationNorm norm) {
    return calibration_error(scores, target, {.bins = 2, .norm = norm, .from_logits = false});
  };
  EXPECT_NEAR(with(CalibrationNorm::mean), (2 * 0.2 + 0.2) / 3, 1e-15);
  EXPECT_NEAR(with(CalibrationNorm::maximum), 0.2, 1e-15);
  EXPECT_NEAR(with(CalibrationNorm::root_square), 0.2, 1e-15);
  EXPECT_EQ(calibration_error(doubles({1, 0}, {1, 2}), labels({0}), {.from_logits = false}), 0.0);
  const double infinite = std::numeric_limits<double>::infinity();
  EXPECT_EQ(calibration_error(doubles({0, infinite, -infinite}, {1, 3}), labels({1})), 0.0) << "no doubt";
  EXPECT_EQ(calibration_error(doubles({infinite, 0, infinite}, {1, 3}), labels({2})), 0.5) << "of two the first";
  EXPECT_THAT(message([] { (void)calibration_error({.bins = 0}); }), HasSubstr("bins"));
}

}  // namespace
}  // namespace athanor::metrics::curves_test
