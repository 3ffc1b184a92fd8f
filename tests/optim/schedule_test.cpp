// SPDX-License-Identifier: Apache-2.0
// Schedules as values: base values and their state, fields, lengths, types of one's own, and what is refused.
#include "athanor/optim/schedule.hpp"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "athanor/optim/adam.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::schedule_test {
namespace {

using namespace literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::shared_ptr<Optimizer> two_groups(const optim::Recipe& recipe = optim::SGD({.lr = 0.5})) {
  return recipe.on({{{{"a", at::ones({1}).requires_grad_()}}, {}},
                    {{{"b", at::ones({1}).requires_grad_()}}, {.lr = 0.25, .weight_decay = 0.125}}});
}

/// The rate is halved when the value has not fallen.
struct Plateau {
  static constexpr Cadence cadence = Cadence::value;
  double best = std::numeric_limits<double>::infinity();
  double now = 1;
  double factor(const ScheduleTime&) const { return now; }
  void on_value(double value) {
    if (!(value < best)) now /= 2;
    best = std::min(best, value);
  }
  void state(State& state) {
    state.value("best", best);
    state.value("now", now);
  }
};

TEST(ScheduleTest, EndingPutsTheBaseBack) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::linear_warmup(4_steps);
  schedule.begin(*optimizer);
  EXPECT_EQ(optimizer->lr(1), 0);
  schedule.end(*optimizer);
  EXPECT_FALSE(schedule.begun());
  EXPECT_EQ(optimizer->lr(0), 0.5);
  EXPECT_EQ(optimizer->lr(1), 0.25);
}

TEST(ScheduleTest, ASequenceSaysWhichOfItsPartsAreOver) {
  const Schedule two = schedules::sequence({schedules::linear_warmup(4_steps), schedules::cosine(0, 6_steps)});
  EXPECT_EQ(two.parts_over({.updates = 3}), 0);
  EXPECT_EQ(two.parts_over({.updates = 4}), 1);
  EXPECT_EQ(two.parts_over({.updates = 9}), 1);
  EXPECT_EQ(two.parts_over({.updates = 10}), 2);
  EXPECT_EQ(two.describe_part(0), "linear warm-up over 4 steps");
  EXPECT_EQ(two.describe_part(1), "cosine to 0 over 6 steps");
  const Schedule epochs = schedules::linear_warmup(2_epochs);
  EXPECT_EQ(epochs.parts_over({.updates = 9, .epochs = 1.9}), 0);
  EXPECT_EQ(epochs.parts_over({.updates = 10, .epochs = 2}), 1);
  EXPECT_EQ(schedules::cosine().parts_over({.updates = 10, .epochs = 2}), 0);
}

TEST(ScheduleTest, EachGroupRunsWithItsBaseTimesTheFactor) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::linear_warmup(4_steps, 0.5);
  EXPECT_FALSE(schedule.begun());
  schedule.begin(*optimizer);
  EXPECT_TRUE(schedule.begun());
  EXPECT_EQ(optimizer->lr(0), 0.25);
  EXPECT_EQ(optimizer->lr(1), 0.125);
  schedule.step(*optimizer, {.updates = 2});
  EXPECT_EQ(optimizer->lr(0), 0.375);
  EXPECT_EQ(optimizer->lr(1), 0.1875);
  schedule.step(*optimizer, {.updates = 9});
  EXPECT_EQ(optimizer->lr(0), 0.5);
  schedule.step(*optimizer, {.updates = 0});  // a window that is replayed
  EXPECT_EQ(optimizer->lr(0), 0.25);
}

TEST(ScheduleTest, AStepBeginsWhatWasNotBegun) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::step(2_steps, 0.5);
  schedule.step(*optimizer, {.updates = 5});
  EXPECT_EQ(optimizer->lr(0), 0.125);
}

TEST(ScheduleTest, WhatSomebodyElseSetsLastsUntilTheFactorChanges) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::step(2_steps, 0.5);
  schedule.begin(*optimizer);
  optimizer->set_lr(0, 0.75);
  schedule.step(*optimizer, {.updates = 1});
  EXPECT_EQ(optimizer->lr(0), 0.75);
  schedule.step(*optimizer, {.updates = 2});
  EXPECT_EQ(optimizer->lr(0), 0.25);
}

TEST(ScheduleTest, AnyFieldIsScheduled) {
  const auto optimizer = two_groups(optim::AdamW({.lr = 0.5, .weight_decay = 0.5}));
  Schedule schedule = schedules::step(1_steps, 0.5).of(OptimizerField::weight_decay);
  EXPECT_EQ(schedule.field(), OptimizerField::weight_decay);
  schedule.begin(*optimizer);
  schedule.step(*optimizer, {.updates = 1});
  EXPECT_EQ(optimizer->get(OptimizerField::weight_decay, 0), 0.25);
  EXPECT_EQ(optimizer->get(OptimizerField::weight_decay, 1), 0.0625);
  EXPECT_EQ(optimizer->lr(0), 0.5);
  EXPECT_EQ(schedule.describe(), "weight_decay: times 0.5 every 1 step");
}

TEST(ScheduleTest, AValueOutOfRangeIsRefusedByTheOptimizer) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::lambda([](int64_t) { return -1.0; }, Cadence::step);
  EXPECT_EQ(error_of([&] { schedule.begin(*optimizer); }).where, "SGD, lr");
}

TEST(ScheduleTest, CopiesAreIndependent) {
  const auto optimizer = two_groups();
  Schedule schedule = Plateau{};
  schedule.begin(*optimizer);
  Schedule copy = schedule;
  schedule.on_value(*optimizer, 1);
  schedule.on_value(*optimizer, 1);
  EXPECT_EQ(optimizer->lr(0), 0.25);
  EXPECT_EQ(schedule.factor({}), 0.5);
  EXPECT_EQ(copy.factor({}), 1);
  EXPECT_THAT(compare_states(save_state(copy), save_state(schedule)), ::testing::Not(IsEmpty()));
  copy = schedule;
  EXPECT_THAT(compare_states(save_state(copy), save_state(schedule)), IsEmpty());
}

TEST(ScheduleTest, ASavedStateGoesOnWithTheSameBase) {
  const auto optimizer = two_groups();
  Schedule schedule = Plateau{};
  schedule.begin(*optimizer);
  for (const double value : {3.0, 2.0, 2.5, 2.5}) schedule.on_value(*optimizer, value);
  EXPECT_EQ(optimizer->lr(0), 0.125);
  EXPECT_THAT(list_state(save_state(schedule)), ElementsAre("base  float64 (2)", "type.best  2", "type.now  0.2500"));

  const auto other = two_groups();
  load_state(*other, save_state(*optimizer));
  Schedule fresh = Plateau{};
  load_state(fresh, save_state(schedule));
  EXPECT_TRUE(fresh.begun());
  for (Schedule* each : {&schedule, &fresh}) {
    Optimizer& its = each == &fresh ? *other : *optimizer;
    each->step(its, {.updates = 5});
    each->on_value(its, 7);
    EXPECT_EQ(its.lr(0), 0.0625);
    EXPECT_EQ(its.lr(1), 0.03125);
  }
}

TEST(ScheduleTest, AStateOfOtherGroupsIsRefused) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::step(1_steps);
  schedule.begin(*optimizer);
  const auto single = optim::SGD().on({{{{"a", at::ones({1}).requires_grad_()}}, {}}});
  const auto parts = error_of([&] { schedule.step(*single, {.updates = 3}); });
  EXPECT_EQ(parts.what, "a schedule was begun with an optimizer of other groups");
  EXPECT_EQ(parts.expected, "1");
}

TEST(ScheduleTest, AnOpenScheduleNeedsTheLengthOfTheRun) {
  const auto optimizer = two_groups();
  for (Schedule schedule :
       {schedules::cosine(), schedules::sequence({schedules::linear_warmup(3_steps), schedules::cosine()}),
        schedules::sequence({schedules::cosine()})}) {
    EXPECT_TRUE(schedule.needs_total());
    EXPECT_FALSE(schedule.length().has_value());
    schedule.begin(*optimizer);
    const auto parts = error_of([&] { schedule.step(*optimizer, {}); });  // before the first update already
    EXPECT_EQ(parts.what, "a schedule goes over the whole run, whose length is not known");
    EXPECT_THAT(parts.where, HasSubstr("cosine to 0"));
    EXPECT_THAT(parts.todo, HasSubstr("length of its own"));
    EXPECT_NO_THROW(schedule.step(*optimizer, {.total_epochs = 3}));
  }
  EXPECT_FALSE(schedules::cosine(0, 5_epochs).needs_total());
}

TEST(ScheduleTest, TheLengthIsKnownWhereItIsItsOwn) {
  EXPECT_EQ(schedules::linear_warmup(5_epochs).length(), 5_epochs);
  EXPECT_EQ(schedules::cosine(0, 700_steps).length(), 700_steps);
  EXPECT_FALSE(schedules::step(5_epochs).length().has_value());
  EXPECT_EQ(schedules::sequence({schedules::linear_warmup(50_steps), schedules::cosine(0, 700_steps)}).length(),
            750_steps);
  EXPECT_FALSE(
      schedules::sequence({schedules::linear_warmup(50_steps), schedules::cosine(0, 3_epochs)}).length().has_value());
}

TEST(ScheduleTest, ACosineGoesOverTheRunInUpdatesOrEpochsAndThenStays) {
  const Schedule cosine = schedules::cosine(0.1);
  EXPECT_NEAR(cosine.factor({.updates = 5, .total_updates = 10}), 0.55, 1e-15);
  EXPECT_NEAR(cosine.factor({.updates = 77, .epochs = 1.5, .total_epochs = 3}), 0.55, 1e-15);
  EXPECT_NEAR(cosine.factor({.updates = 10, .total_updates = 10}), 0.1, 1e-15);
  EXPECT_NEAR(cosine.factor({.updates = 15, .total_updates = 10}), 0.1, 1e-15);
  EXPECT_NEAR(schedules::cosine(0, 4_epochs).factor({.epochs = 1}), 0.5 + std::sqrt(0.125), 1e-15);
}

TEST(ScheduleTest, PerEpochStaysWithinAnEpoch) {
  const Schedule schedule = schedules::lambda([](int64_t epoch) { return static_cast<double>(epoch); }, Cadence::epoch);
  EXPECT_EQ(schedule.cadence(), Cadence::epoch);
  EXPECT_EQ(schedule.factor({.epochs = 2.99}), 2);
  double epochs = 0;
  for (int i = 0; i < 30; ++i) epochs += 0.1;  // 2.9999999999999996
  EXPECT_EQ(schedule.factor({.epochs = epochs}), 3);
  EXPECT_EQ(schedules::step(3_epochs, 0.5).factor({.epochs = epochs}), 0.5);
}

TEST(ScheduleTest, ASequenceGivesEachPartATimeOfItsOwn) {
  const Schedule schedule =
      schedules::sequence({schedules::linear_warmup(10_steps), schedules::cosine(0, 20_steps), schedules::cosine(0.5)});
  EXPECT_EQ(schedule.factor({.updates = 5, .total_updates = 50}), 0.5);
  EXPECT_EQ(schedule.factor({.updates = 10, .total_updates = 50}), 1);
  EXPECT_NEAR(schedule.factor({.updates = 20, .total_updates = 50}), 0.5, 1e-15);
  EXPECT_EQ(schedule.factor({.updates = 30, .total_updates = 50}), 1);
  EXPECT_NEAR(schedule.factor({.updates = 40, .total_updates = 50}), 0.75, 1e-15);
  EXPECT_EQ(schedule.cadence(), Cadence::step);
  EXPECT_EQ(schedule.describe(), "linear warm-up over 10 steps, then cosine to 0 over 20 steps, then cosine to 0.5");
}

TEST(ScheduleTest, ASequenceMayMixStepsAndEpochs) {
  // 20 updates an epoch: the warm-up ends in the middle of the first.
  const Schedule schedule = schedules::sequence({schedules::linear_warmup(10_steps), schedules::step(1_epochs, 0.5)});
  for (const auto total : {std::optional<int64_t>(), std::optional<int64_t>(200)}) {
    auto at = [&](int64_t updates) {
      return schedule.factor({.updates = updates,
                              .epochs = static_cast<double>(updates) / 20,
                              .total_updates = total,
                              .total_epochs = total ? std::optional(10.0) : std::nullopt});
    };
    EXPECT_EQ(at(5), 0.5);
    EXPECT_EQ(at(29), 1);
    EXPECT_EQ(at(30), 0.5);
    EXPECT_EQ(at(50), 0.25);
  }
  const Schedule other = schedules::sequence({schedules::linear_warmup(1_epochs), schedules::cosine()});
  EXPECT_NEAR(other.factor({.updates = 60, .epochs = 3, .total_updates = 100, .total_epochs = 5}), 0.5, 1e-15);
  EXPECT_NEAR(other.factor({.updates = 60, .epochs = 3, .total_epochs = 5}), 0.5, 1e-15);
}

TEST(ScheduleTest, ValuesReachThePartOfASequenceThatRuns) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::sequence({schedules::linear_warmup(4_steps), Plateau{}});
  EXPECT_TRUE(schedule.takes_value());
  EXPECT_FALSE(schedules::cosine().takes_value());
  schedule.step(*optimizer, {.updates = 2});
  schedule.on_value(*optimizer, 1);
  schedule.on_value(*optimizer, 1);
  EXPECT_EQ(optimizer->lr(0), 0.25);
  schedule.step(*optimizer, {.updates = 4});
  EXPECT_EQ(optimizer->lr(0), 0.5);
  schedule.on_value(*optimizer, 1);
  schedule.on_value(*optimizer, 1);
  EXPECT_EQ(optimizer->lr(0), 0.25);
  Schedule fresh = schedules::sequence({schedules::linear_warmup(4_steps), Plateau{}});
  load_state(fresh, save_state(schedule));
  fresh.step(*optimizer, {.updates = 5});
  fresh.on_value(*optimizer, 2);
  EXPECT_EQ(optimizer->lr(0), 0.125);
}

TEST(ScheduleTest, OptionsOutOfRangeAreRefused) {
  auto parts = error_of([] { return schedules::linear_warmup(0_steps); });
  EXPECT_EQ(parts.what, "a schedule has no length");
  EXPECT_EQ(parts.where, "schedules::linear_warmup");
  EXPECT_EQ(parts.got, "0 steps");
  parts = error_of([] { return schedules::cosine(0, Duration(30_seconds)); });
  EXPECT_EQ(parts.what, "a schedule counts in steps or epochs");
  EXPECT_EQ(parts.got, "30 seconds");
  EXPECT_EQ(error_of([] { return schedules::cosine(-0.5); }).got, "-0.5000");
  EXPECT_EQ(error_of([] { return schedules::step(3_samples); }).got, "3 samples");
  EXPECT_EQ(error_of([] { return schedules::step(3_steps, std::nan("")); }).what,
            "a factor of a schedule is out of range");
  EXPECT_EQ(error_of([] { return schedules::linear_warmup(3_steps, -1); }).got, "-1");
  EXPECT_EQ(error_of([] { return schedules::lambda(nullptr, Cadence::step); }).got, "no function");
  EXPECT_EQ(error_of([] { return schedules::lambda([](int64_t) { return 1.0; }, Cadence::value); }).got,
            "Cadence::value");
  EXPECT_EQ(error_of([] { return schedules::sequence({}); }).what, "a sequence of schedules is empty");
  parts = error_of([] { return schedules::sequence({schedules::step(3_steps), schedules::cosine()}); });
  EXPECT_EQ(parts.what, "a schedule that is not the last of a sequence has no length of its own");
  EXPECT_EQ(parts.got, "times 0.1 every 3 steps");
  parts = error_of([] {
    return schedules::sequence({schedules::linear_warmup(3_steps), schedules::cosine().of(OptimizerField::momentum)});
  });
  EXPECT_EQ(parts.what, "the schedules of a combination are for different fields or bases");
}

TEST(ScheduleTest, AnOptimizerHasItsSchedule) {
  const NamedOptimizer named{"generator", two_groups(), 2, schedules::cosine(), Clip{.norm = 1}};
  EXPECT_TRUE(named.schedule.has_value());
  const NamedOptimizer other{.name = "critic", .optimizer = two_groups(), .schedule = schedules::cosine()};
  EXPECT_EQ(other.every, 1);
  EXPECT_FALSE(other.clip.has_value());
  const Optimizers both{named, {"plain", two_groups()}, {"rare", two_groups(), 5}};
  EXPECT_EQ(both[2].every, 5);
  EXPECT_FALSE(both[1].schedule.has_value());
}

}  // namespace
}  // namespace athanor::schedule_test
