// SPDX-License-Identifier: Apache-2.0
// How a metric function accumulates, and the several values that it may return.
#include "athanor/metrics/accumulate.hpp"

#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "athanor/metrics/metrics.hpp"
#include "tests/core/error_of.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::accumulate_test {
namespace {

using metrics::testing::doubles;
using metrics::testing::floats;
using metrics::testing::labels;
using metrics::testing::random_labels;
using metrics::testing::random_scores;
using ::testing::HasSubstr;

struct Rates {
  double precision = 0;
  double recall = 0;
};

/// Of class 1 among 0 and 1, by counting.
Rates rates(const at::Tensor& predictions, const at::Tensor& target) {
  double right = 0;
  double predicted = 0;
  double truth = 0;
  for (int64_t i = 0; i < target.numel(); ++i) {
    const bool said = predictions[i].item().toDouble() > 0;
    const bool is = target[i].item().toLong() == 1;
    right += said && is;
    predicted += said;
    truth += is;
  }
  return {predicted == 0 ? 0 : right / predicted, truth == 0 ? 0 : right / truth};
}

double precision(const at::Tensor& predictions, const at::Tensor& target) {
  return rates(predictions, target).precision;
}

Values both(const at::Tensor& predictions, const at::Tensor& target) {
  const Rates found = rates(predictions, target);
  return {{"precision", found.precision}, {"recall", found.recall}};
}

std::map<std::string, double> of_matrix(const at::Tensor& matrix) {
  const auto at = [&](int64_t row, int64_t column) { return matrix[row][column].item().toDouble(); };
  const double predicted = at(0, 1) + at(1, 1);
  const double truth = at(1, 0) + at(1, 1);
  return {{"precision", predicted == 0 ? 0 : at(1, 1) / predicted}, {"recall", truth == 0 ? 0 : at(1, 1) / truth}};
}

Values reported(const Metric& metric, std::string_view prefix = {}) {
  Values values;
  metric.report(values, prefix);
  return values;
}

Metric of_confusion(const std::string& name) {
  return Metric(name, accumulate::confusion({.kind = metrics::Kind::binary}, of_matrix));
}

TEST(Accumulate, KeptAndCountedValuesOfAnySplitAreExactlyThoseOfTheWhole) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const int64_t samples = 1 + static_cast<int64_t>(random() % 40);
    const at::Tensor scores = random_scores(random, {samples});
    const at::Tensor target = random_labels(random, {samples}, 2);
    const Rates expected = rates(scores, target);
    for (const Metric& kind : {Metric("", accumulate::keep_all(both)), of_confusion("")}) {
      std::vector<Metric> parts(3, kind);
      for (int64_t from = 0; from < samples;) {
        const int64_t to = std::min(samples, from + 1 + static_cast<int64_t>(random() % 7));
        parts[random() % 3].update(scores.slice(0, from, to), target.slice(0, from, to), to - from);
        from = to;
      }
      std::shuffle(parts.begin(), parts.end(), random);
      Metric merged = kind;
      for (const Metric& part : parts) merged.merge(part);
      EXPECT_EQ(reported(merged, "val_"),
                (Values{{"val_precision", expected.precision}, {"val_recall", expected.recall}}))
          << seed;
    }
  }
}

// Lightning, torchmetrics and others: the mean of a metric over batches was taken for the metric.
TEST(Accumulate, TheMeanOfPrecisionsIsNotThePrecision) {
  const at::Tensor scores = floats({1, 1, 1, 1, -1, -1, -1, 1});
  const at::Tensor target = labels({1, 0, 0, 0, 0, 0, 0, 1});
  Metric kept("p", accumulate::keep_all(precision));
  Metric counted = of_confusion("c");
  Metric averaged("a", accumulate::mean(precision));
  for (Metric* metric : {&kept, &counted, &averaged}) {
    metric->update(scores.slice(0, 0, 4), target.slice(0, 0, 4), 4);
    metric->update(scores.slice(0, 4, 8), target.slice(0, 4, 8), 4);
  }
  EXPECT_EQ(kept.compute().real(), 2.0 / 5);
  EXPECT_EQ(counted.compute()["precision"].real(), 2.0 / 5);
  EXPECT_EQ(averaged.compute().real(), (1.0 / 4 + 1.0) / 2);
}

TEST(Accumulate, APlainFunctionIsAveragedBySamples) {
  Metric plain("p", precision);
  Metric spelled("p", accumulate::mean(precision));
  for (Metric* metric : {&plain, &spelled}) {
    metric->update(floats({1, 1}), labels({1, 0}), 2);
    metric->update(floats({1}), labels({1}), 1);
    EXPECT_DOUBLE_EQ(metric->compute().real(), (0.5 * 2 + 1.0) / 3);
  }
  plain.merge(Metric("q", precision));
}

TEST(Accumulate, AFunctionReturnsSeveralValuesInAnyForm) {
  const at::Tensor predictions = doubles({1, 5});
  const at::Tensor target = doubles({2, 2});
  const auto names = [&](Metric metric) {
    metric.update(predictions, target, 2);
    return reported(metric);
  };
  const Values expected = {{"f_low", -1}, {"f_high", 3}};
  using T = const at::Tensor&;
  EXPECT_EQ(names({"f", [](T, T) { return Values{{"low", -1}, {"high", 3}}; }}), expected);
  EXPECT_EQ(names({"f", [](T, T) { return Tree{{"low", -1}, {"high", 3.0}}; }}), expected);
  EXPECT_EQ(names({"f", [](T a, T b) { return Tree{{"low", (a - b).min()}, {"high", (a - b).max()}}; }}), expected);
  EXPECT_EQ(names({"f",
                   [](T, T) {
                     return std::map<std::string, double>{{"low", -1}, {"high", 3}};
                   }}),
            (Values{{"f_high", 3}, {"f_low", -1}}));
  EXPECT_EQ(names({"", [](T, T) { return Tree{{"low", -1}}; }}), (Values{{"low", -1}}));
  EXPECT_EQ(names({"f", [](T, T) { return 2; }}), (Values{{"f", 2}}));
  EXPECT_EQ(names({"f", [](T, T) { return true; }}), (Values{{"f", 1}}));
  EXPECT_EQ(names({"f", [](T, T) { return 2.5F; }}), (Values{{"f", 2.5}}));
  EXPECT_EQ(names({"f", [](T a, T) { return a.sum(); }}), (Values{{"f", 6}}));
  EXPECT_EQ(names({"f", accumulate::keep_all([](T a, T) { return a.sum(); })}), (Values{{"f", 6}}));
}

TEST(Accumulate, SeveralMeansMergeAndHaveAState) {
  const auto ends = [](const at::Tensor& a, const at::Tensor&) { return Tree{{"min", a.min()}, {"max", a.max()}}; };
  Metric whole("", ends);
  Metric first = whole;
  Metric second = whole;
  for (Metric* metric : {&whole, &first}) metric->update(doubles({1, 3}), Tree(), 2);
  for (Metric* metric : {&whole, &second}) metric->update(doubles({6}), Tree(), 1);
  Metric loaded("", ends);
  load_state(loaded, save_state(first));
  loaded.merge(second);
  EXPECT_EQ(reported(loaded), reported(whole));
  EXPECT_EQ(reported(whole), (Values{{"min", (1.0 * 2 + 6) / 3}, {"max", (3.0 * 2 + 6) / 3}}));
  loaded.reset();
  EXPECT_TRUE(loaded.empty());
  EXPECT_THROW((void)loaded.compute(), Error);
}

TEST(Accumulate, OtherNamesThanAtTheFirstBatchAreRefused) {
  int64_t calls = 0;
  Metric metric("f", [&](const at::Tensor&, const at::Tensor&) {
    return calls++ == 0 ? Values{{"a", 1}, {"b", 2}} : Values{{"a", 1}, {"c", 2}};
  });
  metric.update(floats({1}), Tree(), 1);
  const Error::Parts parts = error_of([&] { return metric.update(floats({1}), Tree(), 1), 0; });
  EXPECT_EQ(parts.got, "a, c");
  EXPECT_EQ(parts.expected, "a, b");
  EXPECT_EQ(reported(metric), (Values{{"f_a", 1}, {"f_b", 2}}));
}

TEST(Accumulate, WhatHasNoMeanIsRefused) {
  using T = const at::Tensor&;
  const auto refused = [](Metric metric) {
    return error_of([&] { return metric.update(floats({1, 2}), floats({1, 2}), 2), 0; });
  };
  EXPECT_THAT(refused({"f", [](T a, T) { return a; }}).got, HasSubstr("float32 (2)"));
  EXPECT_THAT(refused({"f", [](T, T) { return Tree("high"); }}).what, HasSubstr("has no mean"));
  EXPECT_THAT(refused({"f", [](T, T) { return Tree{{"part", Tree::list({1, 2})}}; }}).where, HasSubstr("'part'"));
}

TEST(Accumulate, ASingleValueNeedsAName) {
  Metric metric("", precision);
  metric.update(floats({1}), labels({1}), 1);
  EXPECT_EQ(error_of([&] { return reported(metric); }).what, "a single value has no name");
}

TEST(Accumulate, FunctionsMayTakeTreesWhole) {
  const auto distance = [](const Tree& predictions, const Tree& target) {
    return (predictions["a"].tensor() - target[0].tensor()).sum() + predictions["b"].tensor().sum();
  };
  Metric mean("m", distance);
  Metric kept("k", accumulate::keep_all(distance));
  for (Metric* metric : {&mean, &kept}) {
    metric->update(Tree{{"a", doubles({1, 2})}, {"b", doubles({10})}}, Tree::list({doubles({0, 0})}), 2);
    metric->update(Tree{{"a", doubles({3})}, {"b", doubles({20})}}, Tree::list({doubles({0})}), 1);
  }
  EXPECT_DOUBLE_EQ(mean.compute().real(), (13.0 * 2 + 23.0) / 3);
  EXPECT_DOUBLE_EQ(kept.compute().tensor().item().toDouble(), 36.0);
}

TEST(KeepAll, KeepsCopiesInTheOrderOfTheBatches) {
  KeepAll kept([](const at::Tensor& a, const at::Tensor&) { return a; });
  at::Tensor buffer = doubles({1, 2});
  kept.update(buffer, Tree());
  buffer.fill_(7);  // a loader that lands its batches in one place
  kept.update(buffer, Tree());
  kept.update(doubles({5}).reshape({}), Tree());
  EXPECT_TRUE(kept.compute().tensor().equal(doubles({1, 2, 7, 7, 5})));
  kept.compute().tensor().zero_();  // what a function does to its arguments stays its own
  EXPECT_TRUE(kept.compute().tensor().equal(doubles({1, 2, 7, 7, 5})));
}

TEST(KeepAll, AStateIsTwoTensorsAndGoesOn) {
  KeepAll kept(precision);
  for (int i = 0; i < 5; ++i) kept.update(floats({1, -1}), labels({i % 2, 1}));
  const Tree saved = save_state(kept);
  EXPECT_EQ(saved.tensors().size(), 2u);
  KeepAll loaded(precision);
  load_state(loaded, saved);
  for (KeepAll<decltype(&precision)>* each : {&kept, &loaded}) each->update(floats({1}), labels({0}));
  EXPECT_EQ(loaded.compute().real(), 2.0 / 6);
  EXPECT_EQ(kept.compute().real(), 2.0 / 6);
  EXPECT_EQ(saved["predictions"].tensor().numel(), 10) << "the saved state moved along";
  KeepAll twice(precision);
  load_state(twice, saved);
  EXPECT_EQ(twice.compute().real(), 2.0 / 5);
}

TEST(KeepAll, RefusesShapesThatCanNotBeJoined) {
  Metric metric("f", accumulate::keep_all(precision));
  metric.update(floats({1, 2}, {1, 2}), labels({1}), 1);
  const Error::Parts parts = error_of([&] { return metric.update(floats({1, 2, 3}, {1, 3}), labels({1}), 1), 0; });
  EXPECT_EQ(parts.what, "the predictions of two batches can't be joined");
  EXPECT_THAT(parts.got, HasSubstr("float32 (1, 3)"));
  EXPECT_THAT(parts.expected, HasSubstr("float32 (1, 2)"));
  EXPECT_THAT(error_of([&] { return metric.update(floats({1, 2}, {1, 2}), Tree(), 1), 0; }).what, HasSubstr("targets"));
}

TEST(Accumulate, ConfusionChecksItsClasses) {
  EXPECT_THROW((void)accumulate::confusion(0, of_matrix), Error);
  Metric metric("f", accumulate::confusion(3, of_matrix));
  EXPECT_THROW(metric.update(floats({1, 0, 0, 0}, {1, 4}), labels({0}), 1), Error);
  EXPECT_TRUE(metric.empty());
}

TEST(Direction, OfAMetricIsWhatAMonitorTakes) {
  const Metric bias("bias", precision);
  EXPECT_EQ(bias.direction(), Direction::unknown);
  EXPECT_EQ(bias.higher_is_better().direction(), Direction::up);
  const Metrics all = {Metric("bias", precision).lower_is_better(),
                       Metric("error", metrics::accuracy()).lower_is_better(),
                       Metric("again", Metric("bias", precision).higher_is_better()),
                       Metric("kept", accumulate::keep_all(both)).higher_is_better()};
  EXPECT_EQ(all[0].direction(), Direction::down);
  EXPECT_EQ(all[0].name(), "bias");
  EXPECT_EQ(all[1].direction(), Direction::down);
  EXPECT_EQ(all[2].direction(), Direction::up);
  EXPECT_EQ(all[3].direction(), Direction::up);
}

}  // namespace
}  // namespace athanor::accumulate_test
