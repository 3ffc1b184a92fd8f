// SPDX-License-Identifier: Apache-2.0
// Arithmetic with metrics.
#include "athanor/metrics/formula.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "athanor/metrics/metrics.hpp"
#include "tests/core/error_of.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::formula_test {
namespace {

using metrics::Average;
using metrics::testing::doubles;
using metrics::testing::floats;
using metrics::testing::labels;
using metrics::testing::random_labels;
using metrics::testing::random_scores;
using ::testing::HasSubstr;

/// A user's own, which counts how often any of its copies is updated.
struct Counted {
  int64_t* updates;
  double sum = 0;
  void update(const at::Tensor& predictions, const at::Tensor&) {
    ++*updates;
    sum += predictions.sum().item().toDouble();
  }
  void merge(const Counted& other) { sum += other.sum; }
  [[nodiscard]] double compute() const { return sum; }
  void reset() { sum = 0; }
  void state(State& state) { state.value("sum", sum); }
};

double value(Formula formula, const at::Tensor& predictions, const at::Tensor& target) {
  formula.update(predictions, target, predictions.size(0));
  return formula.compute().real();
}

TEST(Formula, OfTheWholeAndNotOfBatches) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    const int64_t samples = 10 + static_cast<int64_t>(random() % 40);
    const at::Tensor scores = random_scores(random, {samples});
    const at::Tensor target = random_labels(random, {samples}, 2);
    const auto p = metrics::precision();
    const auto r = metrics::recall();
    Metric metric("my_f1", 2 * p * r / (p + r));
    Metric other = metric;
    metric.update(scores.slice(0, 0, 7), target.slice(0, 0, 7), 7);
    other.update(scores.slice(0, 7), target.slice(0, 7), samples - 7);
    metric.merge(other);
    const double expected = metrics::f1(scores, target);
    const double got = metric.compute().real();
    if (expected == 0) {
      EXPECT_TRUE(std::isnan(got)) << "0 / 0, seed " << seed;
    } else {
      EXPECT_NEAR(got, expected, 1e-14) << seed;
    }
  }
}

TEST(Formula, EachPartIsUpdatedOnce) {
  int64_t updates = 0;
  const Formula part = Counted{&updates};
  Formula formula = part * part + 2 * part - part;
  EXPECT_EQ(formula.parts(), 1u);
  formula.update(doubles({3}), Tree(), 1);
  EXPECT_EQ(updates, 1);
  EXPECT_EQ(formula.compute().real(), 3 * 3 + 2 * 3 - 3);
  EXPECT_EQ((Formula(Counted{&updates}) + Counted{&updates}).parts(), 2u) << "nobody knows that they are alike";
}

TEST(Formula, UnusedMetricsOfTheSameOptionsAreOnePart) {
  using metrics::recall;
  EXPECT_EQ((recall() + recall()).parts(), 1u);
  EXPECT_EQ((recall() + recall({.average = Average::micro})).parts(), 2u);
  EXPECT_EQ((metrics::f1() + metrics::f_beta(1)).parts(), 2u) << "two classes";
  EXPECT_EQ((metrics::f_beta(2) + metrics::f_beta(3)).parts(), 2u);
  EXPECT_EQ((metrics::mse() / metrics::mse()).parts(), 1u);
  EXPECT_EQ((metrics::quantile_loss(0.1) + metrics::quantile_loss(0.9)).parts(), 2u);
  EXPECT_EQ((Metric("a", recall()) - Metric("b", recall())).parts(), 1u) << "a name changes nothing";
  const auto bias = [](const at::Tensor& a, const at::Tensor& b) { return (a - b).mean(); };
  EXPECT_EQ((Metric("a", bias) + Metric("a", bias)).parts(), 2u) << "functions can't be compared";
  metrics::Recall used = recall();
  used.update(floats({1}), labels({1}));
  EXPECT_EQ((used + recall()).parts(), 2u);
  EXPECT_EQ((metrics::running(recall(), 3) + metrics::running(recall(), 3)).parts(), 1u);
  EXPECT_EQ((metrics::running(recall(), 3) + metrics::running(recall(), 4)).parts(), 2u);
}

TEST(Formula, Operators) {
  const at::Tensor a = doubles({1, 2, 6});
  const at::Tensor zeros = doubles({0, 0, 0});
  const auto mean = metrics::mean();  // 3
  EXPECT_EQ(value(mean + 1, a, zeros), 4);
  EXPECT_EQ(value(1 - mean, a, zeros), -2);
  EXPECT_EQ(value(-mean, a, zeros), -3);
  EXPECT_EQ(value(mean / 2.0F, a, zeros), 1.5);
  EXPECT_EQ(value(metrics::maximum() * metrics::minimum() - mean, a, zeros), 3);
  EXPECT_EQ(value(pow(Formula(mean), 2), a, zeros), 9);
  EXPECT_EQ(value(pow(2, Formula(mean)), a, zeros), 8);
  EXPECT_EQ(value(min(Formula(mean), 2), a, zeros), 2);
  EXPECT_EQ(value(max(Formula(mean), metrics::sum()), a, zeros), 9);
  EXPECT_EQ(value(abs(Formula(2 - mean)), a, zeros), 1);
  EXPECT_EQ(value(sqrt(mean * 3), a, zeros), 3);
  EXPECT_DOUBLE_EQ(value(exp(log(Formula(mean))), a, zeros), 3);
  EXPECT_DOUBLE_EQ(value(sqrt(Formula(metrics::mse())) / metrics::rmse(), a, zeros), 1);
  EXPECT_TRUE(std::isinf(value(1 / (mean - 3), a, zeros)));
}

TEST(Formula, OfEachClass) {
  const at::Tensor scores = floats({1, 0, 0, 0, 1, 0, 0, 1, 0}, {3, 3});
  const at::Tensor target = labels({0, 1, 2});
  Formula missed = 100 * (1 - metrics::recall({.average = Average::per_class}));
  missed.update(scores, target, 3);
  const Tree each = missed.compute();
  EXPECT_EQ(each["0"].real(), 0);
  EXPECT_EQ(each["2"].real(), 100);
  Values values;
  Metric("missed", missed).report(values, "val_");
  EXPECT_EQ(values.names(), (std::vector<std::string>{"val_missed_0", "val_missed_1", "val_missed_2"}));
  Formula both = metrics::recall({.average = Average::per_class}) - metrics::precision({.average = Average::per_class});
  both.update(scores, target, 3);
  EXPECT_EQ(both.compute()["1"].real(), 1 - 0.5);
}

TEST(Formula, GoesOnFromASavedState) {
  const auto make = [] { return metrics::rmse() / metrics::maximum(); };
  Formula whole = make();
  Formula first = make();
  for (Formula* each : {&whole, &first}) each->update(doubles({1, 2}), doubles({0, 0}), 2);
  Formula loaded = make();
  load_state(loaded, save_state(first));
  for (Formula* each : {&whole, &loaded}) each->update(doubles({4}), doubles({5}), 1);
  EXPECT_EQ(loaded.compute().real(), whole.compute().real());
  EXPECT_EQ(whole.compute().real(), std::sqrt(6.0 / 3) / 4);
}

TEST(Formula, IsNotComputedOfPartsThatSawDifferentData) {
  // The mean takes what the recall refuses.
  Formula formula = metrics::mean() + metrics::recall();
  formula.update(floats({1, 1}), labels({1, 1}), 2);
  EXPECT_THROW(formula.update(floats({1, 1}), labels({1, 5}), 2), Error);
  EXPECT_THAT(error_of([&] { return formula.compute(); }).what, HasSubstr("different data"));
  formula.reset();
  formula.update(floats({1, 1}), labels({1, 1}), 2);
  EXPECT_EQ(formula.compute().real(), 2);
}

TEST(Formula, Refuses) {
  EXPECT_THROW((void)(metrics::mean() + 1).compute(), Error) << "before any update";
  EXPECT_TRUE((metrics::mean() + 1).empty());
  Formula one = metrics::mean() + 1;
  EXPECT_THAT(error_of([&] { return one.merge(metrics::mean() + 2), 0; }).what, HasSubstr("different options"));
  Formula matrix = metrics::confusion_matrix() * 2;
  matrix.update(floats({1, 0}, {1, 2}), labels({0}), 1);
  EXPECT_THAT(error_of([&] { return matrix.compute(); }).got, HasSubstr("int64 (2, 2)"));
  Formula apart =
      metrics::recall({.average = Average::per_class}) + metrics::roc_curve({.average = Average::per_class});
  apart.update(floats({1, 0}, {1, 2}), labels({0}), 1);
  EXPECT_THROW((void)apart.compute(), Error);
  Formula other_names = metrics::recall({.average = Average::per_class}) +
                        metrics::segmentation_iou({.include_background = false, .average = Average::per_class});
  other_names.update(floats({1, 0}, {1, 2}), labels({0}), 1);
  EXPECT_THAT(error_of([&] { return other_names.compute(); }).got, HasSubstr("0, 1 and 1"));
}

}  // namespace
}  // namespace athanor::formula_test
