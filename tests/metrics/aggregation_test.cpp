// SPDX-License-Identifier: Apache-2.0
// Sum, minimum and maximum of elements, a metric of the last batches, and the best round.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "athanor/metrics/metrics.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::aggregation_test {
namespace {

using namespace athanor::metrics::testing;
using ::testing::HasSubstr;

const double nan = std::numeric_limits<double>::quiet_NaN();

TEST(Elementwise, OfTensorsAndNumbers) {
  const at::Tensor values = doubles({3, -1, 2}, {3, 1});
  EXPECT_EQ(metrics::sum(values), 4);
  EXPECT_EQ(metrics::minimum(values), -1);
  EXPECT_EQ(metrics::maximum(values.to(at::kBFloat16)), 3);
  EXPECT_EQ(metrics::maximum(labels({4, 5})), 5);
  ElementMaximum greatest;
  greatest.update(-7.0);
  greatest.update(doubles({-9, -8}));
  EXPECT_EQ(greatest.compute(), -7);
  EXPECT_EQ(Metric(greatest).name(), "max");
}

TEST(Elementwise, NanShowsWhereverItStands) {
  for (const at::Tensor& values : {doubles({nan, 1, 2}), doubles({1, nan, 2}), doubles({1, 2, nan})}) {
    EXPECT_TRUE(std::isnan(metrics::sum(values)));
    EXPECT_TRUE(std::isnan(metrics::minimum(values)));
    EXPECT_TRUE(std::isnan(metrics::maximum(values)));
  }
}

TEST(Elementwise, RefusesNothing) {
  EXPECT_THAT(message([] { (void)metrics::sum(doubles({})); }), HasSubstr("before anything was seen"));
  EXPECT_THAT(message([] { (void)ElementMinimum().compute(); }), HasSubstr("min"));
  EXPECT_THAT(message([] { (void)metrics::maximum(at::Tensor()); }), HasSubstr("undefined"));
}

at::Tensor hit(bool right) { return floats({right ? 1.0F : 0.0F, right ? 0.0F : 1.0F}, {1, 2}); }

TEST(Running, IsOfTheLastUpdates) {
  std::mt19937 random(4);
  for (const int64_t window : {1, 3, 10}) {
    Running running(accuracy(), window);
    Running whole(accuracy(), window);
    std::vector<bool> seen;
    for (int i = 0; i < 25; ++i) {
      seen.push_back(random() % 2 == 0);
      running.update(hit(seen.back()), labels({0}), 1);
      double right = 0, all = 0;
      for (auto it = seen.rbegin(); it != seen.rend() && all < static_cast<double>(window); ++it) {
        right += *it;
        ++all;
      }
      EXPECT_DOUBLE_EQ(running.compute().real(), right / all);
      // Interrupted after any update, it goes on.
      Running again(accuracy(), window);
      load_state(again, save_state(running));
      running = again;
    }
  }
}

TEST(Running, MergesAsIfTheOtherCameLater) {
  Running first(accuracy(), 3);
  Running later(accuracy(), 3);
  for (const bool right : {true, true, false}) first.update(hit(right), labels({0}), 1);
  for (const bool right : {false, true}) later.update(hit(right), labels({0}), 1);
  first.merge(later);
  EXPECT_DOUBLE_EQ(first.compute().real(), 1.0 / 3);
  EXPECT_EQ(first.name(), "running_acc");
  EXPECT_EQ(first.direction(), Direction::up);
}

TEST(Running, RefusesAWindowOfNothingAndForgetsARefusedBatch) {
  EXPECT_THAT(message([] { (void)running(accuracy(), 0); }), HasSubstr("window"));
  EXPECT_THAT(message([] { running(accuracy(), 1).merge(running(accuracy(), 2)); }), HasSubstr("different options"));
  EXPECT_THROW((void)running(accuracy(), 2).compute(), Error);
  Running metric(accuracy(), 2);
  metric.update(hit(true), labels({0}), 1);
  EXPECT_THROW(metric.update(hit(true), labels({7}), 1), Error);
  EXPECT_EQ(metric.compute().real(), 1.0);
}

Tracker tracked(const std::vector<double>& values, Metric metric) {
  Tracker tracker(std::move(metric));
  for (const double value : values) {
    tracker.update(doubles({value}), Tree(), 1);
    tracker.finish_round();
  }
  return tracker;
}

// torchkeras: the first NaN is taken for the best, and blocks all that come later.
TEST(Tracker, NanIsNeverBestUnlikeTorchkeras) {
  const Tracker falling = tracked({nan, 3, 2, nan, 2}, Metric("loss", mean()).lower_is_better());
  EXPECT_EQ(falling.best().round, 2) << "of equal ones the first";
  EXPECT_EQ(falling.best().value, 2);
  const Tracker rising = tracked({1, nan, 4, 3}, Metric("score", mean()).higher_is_better());
  EXPECT_EQ(rising.best().round, 2);
  EXPECT_THAT(message([] { (void)tracked({nan}, Metric("m", mean()).lower_is_better()).best(); }),
              HasSubstr("all NaN"));
}

TEST(Tracker, SaysWhetherARoundIsBest) {
  Tracker tracker(Metric("loss", mean()).lower_is_better());
  std::vector<bool> best;
  for (const double value : {5.0, 6.0, nan, 4.0, 4.0}) {
    tracker.update(doubles({value - 1, value + 1}), Tree(), 2);
    best.push_back(tracker.finish_round().is_best);
  }
  EXPECT_EQ(best, (std::vector<bool>{true, false, false, true, false}));
  EXPECT_EQ(tracker.values().size(), 5u);
}

TEST(Tracker, GoesOnFromASavedState) {
  Tracker through = tracked({3, 1}, Metric("loss", mean()).lower_is_better());
  through.update(doubles({0.5}), Tree(), 1);
  Tracker loaded(Metric("loss", mean()).lower_is_better());
  load_state(loaded, save_state(through));
  for (Tracker* tracker : {&through, &loaded}) {
    tracker->update(doubles({0.1}), Tree(), 1);
    EXPECT_TRUE(tracker->finish_round().is_best);
  }
  EXPECT_EQ(loaded.best().value, through.best().value);
  EXPECT_EQ(loaded.best().round, 2);
}

TEST(Tracker, NeedsADirectionAndASingleValue) {
  EXPECT_THAT(message([] { Tracker tracker{Metric(mean())}; }), HasSubstr("higher_is_better"));
  Tracker several(Metric(f1({.average = Average::per_class})));
  several.update(floats({1, 0}, {1, 2}), labels({0}), 1);
  EXPECT_THAT(message([&] { several.finish_round(); }), HasSubstr("several values"));
  EXPECT_THAT(message([] { Tracker(accuracy()).finish_round(); }), HasSubstr("before anything was seen"));
}

}  // namespace
}  // namespace athanor::metrics::aggregation_test
