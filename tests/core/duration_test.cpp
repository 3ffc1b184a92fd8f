// SPDX-License-Identifier: Apache-2.0
// Lengths and intervals in each unit, with the rounding of fractions of an epoch.
#include "athanor/core/duration.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace athanor::duration_test {
namespace {

using namespace athanor::literals;

TEST(DurationTest, AnIntervalOfNothingNeverPasses) {
  EXPECT_FALSE(Duration::steps(0).passed({.steps = 1}, {.steps = 2}));
  EXPECT_FALSE(Duration::epochs(-1).passed({.epochs = 1}, {.epochs = 2}));
  EXPECT_TRUE(Duration::steps(0).reached({}));
}

TEST(DurationTest, EachUnitMeasuresItsOwn) {
  const Elapsed elapsed{.epochs = 1.5, .steps = 7, .samples = 224, .seconds = 3.25};
  EXPECT_EQ((1_epochs).measure(elapsed), 1.5);
  EXPECT_EQ((1_steps).measure(elapsed), 7);
  EXPECT_EQ((1_samples).measure(elapsed), 224);
  EXPECT_EQ((1_seconds).measure(elapsed), 3.25);
}

TEST(DurationTest, IsReachedAtItsEndAndNotBefore) {
  EXPECT_FALSE((10_steps).reached({.epochs = 99, .steps = 9, .samples = 99, .seconds = 99}));
  EXPECT_TRUE((10_steps).reached({.steps = 10}));
  EXPECT_FALSE((2_epochs).reached({.epochs = 1.999}));
  EXPECT_TRUE((2_epochs).reached({.epochs = 2}));
  EXPECT_FALSE((2_minutes).reached({.seconds = 119.9}));
  EXPECT_TRUE((2_minutes).reached({.seconds = 120}));
}

TEST(DurationTest, FractionsOfAnEpochDoNotMissTheirMark) {
  for (int batches = 1; batches <= 50; ++batches) {
    double sum = 0;
    int passed = 0;
    for (int i = 0; i < batches; ++i) {
      const double before = sum;
      sum += 1.0 / batches;
      EXPECT_EQ((1_epochs).reached({.epochs = sum}), i + 1 == batches) << batches;
      passed += (1_epochs).passed({.epochs = before}, {.epochs = sum}) ? 1 : 0;
    }
    EXPECT_EQ(passed, 1) << batches;
    const double begin = 7;  // the second call of fit measures from where it began
    EXPECT_TRUE(Duration::epochs(0.3).reached({.epochs = begin + 0.1 + 0.2 - begin}));
  }
  int quarters = 0;
  for (int i = 0; i < 40; ++i) quarters += Duration::epochs(0.3).passed({.epochs = i * 0.1}, {.epochs = (i + 1) * 0.1});
  EXPECT_EQ(quarters, 13);
}

TEST(DurationTest, LargeCountsAreExact) {
  const int64_t billion = 4'000'000'000;
  EXPECT_FALSE(Duration::samples(billion).reached({.samples = billion - 1}));
  EXPECT_FALSE(Duration::samples(billion).passed({.samples = billion - 2}, {.samples = billion - 1}));
  EXPECT_TRUE(Duration::samples(billion).passed({.samples = billion - 1}, {.samples = billion}));
}

TEST(DurationTest, AnIntervalPassesOnceForEachMultiple) {
  int count = 0;
  for (int64_t step = 0; step < 100; ++step) count += (7_steps).passed({.steps = step}, {.steps = step + 1});
  EXPECT_EQ(count, 14);
  EXPECT_TRUE((7_steps).passed({.steps = 6}, {.steps = 7}));
  EXPECT_FALSE((7_steps).passed({.steps = 7}, {.steps = 8}));
  EXPECT_TRUE((7_steps).passed({.steps = 5}, {.steps = 30}));
  EXPECT_FALSE((7_steps).passed({.steps = 7}, {.steps = 7}));
}

TEST(DurationTest, LiteralsAndStandardTimesAgree) {
  EXPECT_EQ(90_minutes, Duration::seconds(5400));
  EXPECT_EQ(2_hours, Duration(std::chrono::hours(2)));
  EXPECT_EQ(Duration(std::chrono::milliseconds(1500)), Duration::seconds(1.5));
  EXPECT_EQ(0.5_epochs, Duration::epochs(0.5));
  EXPECT_NE(Duration::steps(3), Duration::samples(3));
}

TEST(DurationTest, DescribesItself) {
  EXPECT_EQ((20_epochs).describe(), "20 epochs");
  EXPECT_EQ((1_steps).describe(), "1 step");
  EXPECT_EQ((0.5_epochs).describe(), "0.5 epochs");
  EXPECT_EQ((0_samples).describe(), "0 samples");
  EXPECT_EQ((1_minutes).describe(), "60 seconds");
}

}  // namespace
}  // namespace athanor::duration_test
