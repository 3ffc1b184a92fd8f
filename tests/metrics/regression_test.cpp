// SPDX-License-Identifier: Apache-2.0
// Errors of regression, R² and the mean: small cases by hand, and what they refuse.
#include "athanor/metrics/regression.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "athanor/metrics/mean.hpp"
#include "athanor/metrics/r2.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::regression_test {
namespace {

using namespace athanor::metrics::testing;
using ::testing::HasSubstr;

TEST(Regression, ByHand) {
  const at::Tensor predictions = floats({1, 2, 3, 4, 5});
  const at::Tensor target = floats({1, 0, 3, 8, 4});
  EXPECT_DOUBLE_EQ(mae(predictions, target), 7.0 / 5);
  EXPECT_DOUBLE_EQ(mse(predictions, target), 21.0 / 5);
  EXPECT_DOUBLE_EQ(rmse(predictions, target), std::sqrt(21.0 / 5));
  EXPECT_DOUBLE_EQ(mae(predictions.to(at::kHalf), target.to(at::kLong)), 7.0 / 5);
  EXPECT_DOUBLE_EQ(mae(predictions.reshape({5, 1}), target), 7.0 / 5) << "(N, 1) and (N) are not broadcast to (N, N)";
  EXPECT_NEAR(r2(predictions, target), 1 - 21 / 38.8, 1e-15);
  EXPECT_DOUBLE_EQ(metrics::mean(predictions), 3.0);
}

TEST(Regression, ARaggedLastBatchWeighsWhatItHolds) {
  RootMeanSquaredError metric;
  metric.update(floats({1, 1, 1}), floats({0, 0, 0}));
  metric.update(floats({3}), floats({0}));
  EXPECT_DOUBLE_EQ(metric.compute(), std::sqrt(3.0));
}

TEST(Regression, NanShows) {
  const at::Tensor broken = floats({1, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_TRUE(std::isnan(mse(broken, floats({1, 1}))));
  EXPECT_TRUE(std::isnan(r2(broken, floats({1, 1}))));
  EXPECT_TRUE(std::isnan(r2(broken, floats({1, 2}))));
}

TEST(Regression, RefusesWhatDoesNotFit) {
  const std::string text = message([] { (void)mse(floats({1, 2}), floats({1, 2, 3, 4}, {2, 2})); });
  EXPECT_THAT(text, HasSubstr("mean squared error"));
  EXPECT_THAT(text, HasSubstr("predictions float32 (2), target float32 (2, 2)"));
  EXPECT_THAT(message([] { (void)mae(floats({1, 2}, {1, 2}), floats({1, 2}, {2, 1})); }), HasSubstr("do not fit"));
  EXPECT_THAT(message([] { (void)mae(floats({1}), at::Tensor()); }), HasSubstr("undefined"));
  EXPECT_THAT(message([] { (void)mae().compute(); }), HasSubstr("before anything was seen"));
  EXPECT_THAT(message([] { (void)mean().compute(); }), HasSubstr("before anything was seen"));
}

TEST(R2, ConstantTargets) {
  EXPECT_EQ(r2(floats({0.1F, 0.1F, 0.1F}), floats({0.1F, 0.1F, 0.1F})), 1.0);
  EXPECT_EQ(r2(floats({0.1F, 0.1F, 0.2F}), floats({0.1F, 0.1F, 0.1F})), 0.0);
  EXPECT_EQ(r2(floats({1, 5, 2, 5}, {2, 2}), floats({1, 5, 2, 5}, {2, 2})), 1.0);
}

TEST(R2, NeedsTwoSamples) {
  R2 metric;
  EXPECT_THAT(message([&] { (void)metric.compute(); }), HasSubstr("0 samples"));
  metric.update(floats({1}), floats({1}));
  EXPECT_THAT(message([&] { (void)metric.compute(); }), HasSubstr("1 samples"));
  metric.update(floats({2}), floats({2}));
  EXPECT_EQ(metric.compute(), 1.0);
  EXPECT_THAT(message([&] {
                metric.update(floats({1, 2}, {1, 2}), floats({1, 2}, {1, 2}));
              }),
              HasSubstr("number of outputs changed"));
}

// Targets near 1e8 with a spread of 1: sums of squares would lose every digit.
TEST(R2, KeepsItsDigitsFarFromZero) {
  std::mt19937 random(3);
  const at::Tensor target = random_normal(random, {1000}, 1e8);
  const at::Tensor predictions = target.add(random_normal(random, {1000}).mul(0.5));
  R2 batches;
  for (int64_t from = 0; from < 1000; from += 64) {
    batches.update(predictions.slice(0, from, from + 64), target.slice(0, from, from + 64));
  }
  EXPECT_NEAR(batches.compute(), r2(predictions.sub(1e8), target.sub(1e8)), 1e-9);
}

TEST(Mean, NumbersAndTensors) {
  Mean metric;
  metric.update(floats({1, 2}, {1, 2}));
  metric.update(labels({6}), at::Tensor());
  metric.update(10.0, 2);
  EXPECT_DOUBLE_EQ(metric.compute(), 29.0 / 5);
}

}  // namespace
}  // namespace athanor::metrics::regression_test
