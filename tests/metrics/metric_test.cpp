// SPDX-License-Identifier: Apache-2.0
// Any metric under one type, and the weighted mean.
#include "athanor/metrics/metric.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "athanor/metrics/metrics.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metric_test {
namespace {

using metrics::testing::doubles;
using metrics::testing::floats;
using metrics::testing::labels;
using metrics::testing::message;
using ::testing::HasSubstr;

at::Tensor scalar(double value, at::ScalarType dtype) { return doubles({value}).reshape({}).to(dtype); }

TEST(WeightedMean, WeighsBySamples) {
  WeightedMean mean;
  mean.update(scalar(1.0, at::kFloat), 32);
  mean.update(scalar(4.0, at::kDouble), 8);
  mean.update(scalar(2.0, at::kHalf), 8);
  mean.update(scalar(0.5, at::kBFloat16), 16);
  mean.update(scalar(3, at::kLong), 1);
  mean.update(7.0, 1);
  EXPECT_DOUBLE_EQ(mean.compute(), (32 + 32 + 16 + 8 + 3 + 7) / 66.0);
}

TEST(WeightedMean, TheMeanOfNothingWeighsNothing) {
  WeightedMean mean;
  mean.update(std::nan(""), 0);
  EXPECT_TRUE(mean.empty());
  EXPECT_THAT(message([&] { (void)mean.compute(); }), HasSubstr("before anything was seen"));
  mean.update(2.0, 1);
  EXPECT_EQ(mean.compute(), 2.0);
}

TEST(WeightedMean, RefusesWhatIsNoScalarAndNoWeight) {
  WeightedMean mean;
  EXPECT_THAT(message([&] { mean.update(floats({1, 2}), 1); }), HasSubstr("float32 (2)"));
  EXPECT_THAT(message([&] { mean.update(at::Tensor(), 1); }), HasSubstr("undefined"));
  EXPECT_THAT(message([&] { mean.update(1.0, -1); }), HasSubstr("-1"));
  EXPECT_TRUE(mean.empty());
}

TEST(WeightedMean, AddsManySmallValuesInDouble) {
  WeightedMean mean;
  const at::Tensor value = scalar(0.1, at::kFloat);
  for (int i = 0; i < 1'000'000; ++i) mean.update(value, 1);
  EXPECT_NEAR(mean.compute(), static_cast<double>(0.1F), 1e-12);
}

// On a device the sum is a tensor; a copy must not share it.
TEST(WeightedMean, ACopyOfADeviceSumIsItsOwn) {
  const at::Tensor on_device = floats({1}).reshape({}).to(at::kMeta);
  WeightedMean mean;
  mean.update(on_device, 2);
  WeightedMean copy = mean;
  Tree before = save_state(mean);
  copy.update(on_device, 3);
  copy.merge(mean);
  EXPECT_EQ(save_state(copy)["weight"].real(), 7);
  EXPECT_EQ(save_state(mean)["weight"].real(), 2);
  EXPECT_FALSE(save_state(copy)["device_sum"].tensor().is_same(save_state(mean)["device_sum"].tensor()));
}

TEST(Metric, HoldsClassesAndFunctions) {
  Metrics all = {metrics::accuracy(),
                 {"top2", metrics::accuracy({.top_k = 2})},
                 {"first", [](const at::Tensor& predictions, const at::Tensor&) { return predictions.mean(); }},
                 metrics::f1({.average = metrics::Average::per_class}),
                 metrics::confusion_matrix()};
  const Tree predictions = floats({3, 1, 0, 0, 2, 1}, {2, 3});
  const Tree target = labels({0, 2});
  for (Metric& metric : all) metric.update(predictions, target, 2);
  Values values;
  for (const Metric& metric : all) metric.report(values, "val_");
  EXPECT_EQ(values.names(),
            (std::vector<std::string>{"val_acc", "val_top2", "val_first", "val_f1_0", "val_f1_1", "val_f1_2"}));
  EXPECT_EQ(values["val_acc"], 0.5);
  EXPECT_EQ(values["val_top2"], 1.0);
  EXPECT_NEAR(values["val_first"], 7.0 / 6, 1e-6);
  EXPECT_EQ(values["val_f1_0"], 1.0);
  EXPECT_EQ(all[0].direction(), Direction::up);
  EXPECT_EQ(all[2].direction(), Direction::unknown);
}

/// A user's own, whose name lies in it.
struct Named {
  std::string called = "a name that is too long to be moved without a trace";
  [[nodiscard]] const std::string& name() const { return called; }
  void update(const at::Tensor&, const at::Tensor&) {}
  void merge(const Named&) {}
  [[nodiscard]] double compute() const { return 0; }
  void reset() {}
  void state(State& state) { state.value("called", called); }
};

TEST(Metric, TakesANameThatLiesInTheClass) { EXPECT_EQ(Metric(Named()).name(), Named().called); }

TEST(Metric, ACopyAccumulatesOnItsOwn) {
  Metric metric = metrics::accuracy();
  metric.update(floats({1, 0}, {1, 2}), labels({0}), 1);
  Metric copy = metric;
  copy.update(floats({1, 0}, {1, 2}), labels({1}), 1);
  EXPECT_EQ(metric.compute().real(), 1.0);
  EXPECT_EQ(copy.compute().real(), 0.5);
  metric.merge(copy);
  EXPECT_EQ(metric.compute().real(), 2.0 / 3);
  metric.reset();
  EXPECT_THROW((void)metric.compute(), Error);
}

TEST(Metric, RefusesToMergeAnotherKind) {
  Metric accuracy("quality", metrics::accuracy());
  const Metric error("error", metrics::mse());
  const std::string text = message([&] { accuracy.merge(error); });
  EXPECT_THAT(text, HasSubstr("'quality', of type athanor::metrics::Accuracy"));
  EXPECT_THAT(text, HasSubstr("'error', of type athanor::metrics::MeanSquaredError"));
}

}  // namespace
}  // namespace athanor::metric_test
