// SPDX-License-Identifier: Apache-2.0
// Schedules as values: base values and their state, fields, lengths, types of one's own, and what is refused.
#include "athanor/optim/schedule.hpp"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
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
  EXPECT_THAT(list_state(save_state(schedule)),
              ElementsAre("base  float64 (2)", "type.best  2", "type.now  0.2500", "updates  0", "epochs  0",
                          "total_updates  -1", "total_epochs  -1"));

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

TEST(ScheduleTest, SeveralFieldsAtOnceEachWithItsBase) {
  const auto optimizer = two_groups(optim::AdamW({.lr = 0.5, .betas = {0.5, 0.999}, .weight_decay = 0.5}));
  Schedule schedule = schedules::together({schedules::step(1_steps, 0.5),
                                           schedules::linear(0.25, 0.75, 2_steps).of(OptimizerField::momentum, 1),
                                           schedules::constant(0, 1_steps).of(OptimizerField::weight_decay)});
  EXPECT_EQ(schedule.parts().size(), 3u);
  schedule.begin(*optimizer);
  EXPECT_TRUE(schedule.begun());
  EXPECT_EQ(optimizer->get(OptimizerField::momentum), 0.25);
  EXPECT_EQ(optimizer->get(OptimizerField::weight_decay, 1), 0);
  schedule.step(*optimizer, {.updates = 1});
  EXPECT_EQ(optimizer->lr(0), 0.25);
  EXPECT_EQ(optimizer->lr(1), 0.125);
  EXPECT_EQ(optimizer->get(OptimizerField::momentum, 1), 0.5);
  EXPECT_EQ(optimizer->get(OptimizerField::weight_decay, 0), 0.5);
  EXPECT_EQ(optimizer->get(OptimizerField::weight_decay, 1), 0.125);
  const Tree saved = save_state(schedule);
  schedule.end(*optimizer);
  EXPECT_FALSE(schedule.begun());
  EXPECT_EQ(optimizer->lr(0), 0.5);
  EXPECT_EQ(optimizer->get(OptimizerField::momentum), 0.5);
  EXPECT_EQ(optimizer->get(OptimizerField::weight_decay, 1), 0.125);
  Schedule fresh = schedules::together({schedules::step(1_steps, 0.5),
                                        schedules::linear(0.25, 0.75, 2_steps).of(OptimizerField::momentum, 1),
                                        schedules::constant(0, 1_steps).of(OptimizerField::weight_decay)});
  load_state(fresh, saved);
  EXPECT_TRUE(fresh.begun());
  fresh.step(*optimizer, {.updates = 2});
  EXPECT_EQ(optimizer->lr(1), 0.0625);
  EXPECT_EQ(optimizer->get(OptimizerField::momentum, 1), 0.75);
  EXPECT_EQ(schedule.describe(),
            "times 0.5 every 1 step; momentum: linear from 0.25 to 0.75 over 2 steps; weight_decay: 0 for 1 step");
}

TEST(ScheduleTest, EveryGroupMayHaveAScheduleOfItsOwn) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::by_group({schedules::step(1_steps, 0.5), Plateau{}});
  schedule.begin(*optimizer);
  schedule.step(*optimizer, {.updates = 2});
  EXPECT_EQ(optimizer->lr(0), 0.125);
  EXPECT_EQ(optimizer->lr(1), 0.25);
  EXPECT_TRUE(schedule.takes_value());
  schedule.on_value(*optimizer, 1);
  schedule.on_value(*optimizer, 1);
  EXPECT_EQ(optimizer->lr(0), 0.125);
  EXPECT_EQ(optimizer->lr(1), 0.125);
  schedule.end(*optimizer);
  EXPECT_EQ(optimizer->lr(0), 0.5);
  const auto parts = error_of([&] {
    Schedule three = schedules::by_group({schedules::cosine(), schedules::cosine(), schedules::cosine()});
    three.begin(*optimizer);
    return 0;
  });
  EXPECT_EQ(parts.got, "3 schedules");
  EXPECT_EQ(parts.expected, "2, as many as groups");
}

TEST(ScheduleTest, ACycleOfMomentumIsPutTogetherWithOtherFields) {
  const auto optimizer = two_groups(optim::AdamW({.lr = 0.5, .weight_decay = 0.5}));
  Schedule schedule = schedules::together(
      {schedules::one_cycle({.length = 10_steps}), schedules::step(5_steps).of(OptimizerField::weight_decay)});
  EXPECT_EQ(schedule.parts().size(), 3u);
  EXPECT_EQ(schedule.length(), 10_steps);
  schedule.begin(*optimizer);
  EXPECT_EQ(optimizer->get(OptimizerField::momentum), 0.95);
  EXPECT_NEAR(optimizer->lr(0), 0.5 / 25, 1e-16);
  schedule.step(*optimizer, {.updates = 2});  // the peak: 0.3 x 10 - 1
  EXPECT_DOUBLE_EQ(*optimizer->get(OptimizerField::momentum), 0.85);
  EXPECT_EQ(optimizer->lr(0), 0.5);
  EXPECT_EQ(error_of([&] { return schedule.of(OptimizerField::momentum); }).what,
            "a schedule of several fields or groups is for those fields");
  EXPECT_EQ(error_of([&] {
              return schedules::sequence({schedules::linear_warmup(3_steps), schedule});
            }).what,
            "a schedule of several fields or groups can't be part of another");
  EXPECT_EQ(error_of([&] {
              return schedules::together({schedules::cosine(), schedules::one_cycle()});
            }).what,
            "two schedules set the same field");
}

TEST(ScheduleTest, FactorsAreMultiplied) {
  const Schedule schedule =
      schedules::chained({schedules::linear_warmup(4_steps), schedules::step(3_steps, 0.5), schedules::cosine(0.5)});
  EXPECT_TRUE(schedule.needs_total());
  EXPECT_DOUBLE_EQ(schedule.factor({.updates = 3, .total_updates = 3}), 0.75 * 0.5 * 0.5);
  EXPECT_EQ(schedule.describe(), "linear warm-up over 4 steps and times 0.5 every 3 steps and cosine to 0.5");
}

TEST(ScheduleTest, APlateauStandsBehindAWarmUp) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::sequence(
      {schedules::linear_warmup(4_steps), schedules::reduce_on_plateau({.factor = 0.5, .patience = 1})});
  schedule.step(*optimizer, {.updates = 2});
  for (int i = 0; i < 9; ++i) schedule.on_value(*optimizer, 1);  // the warm-up does not listen
  EXPECT_EQ(optimizer->lr(0), 0.25);
  schedule.step(*optimizer, {.updates = 4});
  for (const double value : {3.0, 2.0, 2.0, std::nan("")}) schedule.on_value(*optimizer, value);
  EXPECT_EQ(optimizer->lr(0), 0.25) << "one bad value is put up with, the second, NaN, is not";
  Schedule fresh = schedules::sequence(
      {schedules::linear_warmup(4_steps), schedules::reduce_on_plateau({.factor = 0.5, .patience = 1})});
  load_state(fresh, save_state(schedule));
  fresh.step(*optimizer, {.updates = 5});
  fresh.on_value(*optimizer, 2.5);
  EXPECT_EQ(optimizer->lr(0), 0.25);
  fresh.on_value(*optimizer, 2.5);
  EXPECT_EQ(optimizer->lr(0), 0.125);
}

TEST(ScheduleTest, AValueThatComesFirstAfterAResumeReachesTheRightPart) {
  const auto optimizer = two_groups();
  const auto make = [] {
    return schedules::sequence(
        {schedules::linear_warmup(2_epochs), schedules::reduce_on_plateau({.factor = 0.5, .patience = 0})});
  };
  Schedule schedule = make();
  schedule.step(*optimizer, {.updates = 30, .epochs = 3, .total_updates = 100, .total_epochs = 10});
  schedule.on_value(*optimizer, 1);
  Schedule fresh = make();
  load_state(fresh, save_state(schedule));
  fresh.on_value(*optimizer, 1);
  EXPECT_EQ(optimizer->lr(0), 0.25);
  Schedule chained = schedules::chained({make(), schedules::cosine()});
  chained.step(*two_groups(), {.updates = 50, .epochs = 5, .total_updates = 100, .total_epochs = 10});
  Schedule other = schedules::chained({make(), schedules::cosine()});
  load_state(other, save_state(chained));
  EXPECT_THAT(compare_states(save_state(chained), save_state(other)), IsEmpty());
  const auto third = two_groups();
  other.on_value(*third, 1);
  EXPECT_DOUBLE_EQ(third->lr(0), 0.25) << "half of the cosine";
}

TEST(ScheduleTest, ARelativeThresholdWorksForNegativeValues) {
  const auto optimizer = two_groups();
  Schedule schedule = schedules::reduce_on_plateau({.factor = 0.5, .patience = 0, .min_change = 0.1});
  for (const double value : {-10.0, -10.0}) schedule.on_value(*optimizer, value);
  EXPECT_EQ(optimizer->lr(0), 0.25) << "in torch -10 is better than -10";
  schedule.on_value(*optimizer, -11.5);
  EXPECT_EQ(optimizer->lr(0), 0.25);
}

// phww 1.x: with no schedule behind it, its warm-up is never stepped, and training stays at 1e-6.
TEST(ScheduleTest, PhwwWarmUpAloneEnds) {
  for (const Schedule& warmup :
       {schedules::linear_warmup(5_epochs, 1e-3), schedules::exponential_warmup(5_epochs, 1e-3),
        schedules::constant_warmup(5_epochs, 1e-3)}) {
    EXPECT_NEAR(warmup.factor({.updates = 0, .epochs = 0}), 1e-3, 1e-18);
    EXPECT_EQ(warmup.factor({.updates = 50, .epochs = 5}), 1);
    EXPECT_EQ(warmup.factor({.updates = 500, .epochs = 50}), 1);
  }
}

// phww 1.x: the numbers of its demo, exponential over 5 epochs from 1e-6 to 1e-3, are right.
TEST(ScheduleTest, PhwwExponentialWarmUpOfItsDemo) {
  const Schedule warmup = schedules::exponential_warmup(5_epochs, 1e-3);
  const double rates[] = {1e-6, 3.98e-6, 1.58e-5, 6.31e-5, 2.51e-4, 1e-3};
  for (int epoch = 0; epoch <= 5; ++epoch) {
    EXPECT_NEAR(1e-3 * warmup.factor({.updates = epoch, .epochs = static_cast<double>(epoch)}), rates[epoch],
                5e-3 * rates[epoch]);
  }
}

// phww 1.x: T_max of its cosine is 15 whatever the run, so the rate goes up and down.
TEST(ScheduleTest, PhwwCosineOfAFixedLengthStaysDown) {
  const Schedule cosine = schedules::cosine(0.01, 15_epochs);
  for (double epochs = 15; epochs <= 75; epochs += 1) EXPECT_EQ(cosine.factor({.updates = 1, .epochs = epochs}), 0.01);
}

// DeepEpochs 0.6: LinearCosineScheduler can't be constructed.
TEST(ScheduleTest, DeepEpochsLinearThenCosineWorks) {
  const Schedule schedule = schedules::linear_then_cosine(4_steps, {.min_factor = 0.1, .start_factor = 0.25});
  EXPECT_EQ(schedule.factor({.updates = 0, .total_updates = 10}), 0.25);
  EXPECT_EQ(schedule.factor({.updates = 4, .total_updates = 10}), 1);
  EXPECT_NEAR(schedule.factor({.updates = 7, .total_updates = 10}), 0.55, 1e-15);
  EXPECT_NEAR(schedule.factor({.updates = 10, .total_updates = 10}), 0.1, 1e-15);
  const Schedule fixed = schedules::linear_then_cosine(4_steps, {.length = 10_steps});
  EXPECT_EQ(fixed.length(), 10_steps);
  EXPECT_NEAR(fixed.factor({.updates = 7}), 0.5, 1e-15);
}

TEST(ScheduleTest, AWarmUpDoesNotStartAboveTheBaseRate) {
  for (const auto& make : std::vector<std::function<Schedule()>>{
           [] { return schedules::linear_warmup(5_steps, 1.5); },
           [] { return schedules::exponential_warmup(5_steps, 1.5); },
           [] { return schedules::constant_warmup(5_steps, 1.5); },
           [] { return schedules::inverse_square_root(5_steps, 1.5); },
           [] { return schedules::linear_then_cosine(5_steps, {.start_factor = 1.5}); },
           [] { return schedules::warmup_stable_decay({.warmup = 5_steps, .decay = 5_steps, .start_factor = 1.5}); }}) {
    const auto parts = error_of(make);
    EXPECT_EQ(parts.what, "a warm-up starts above the base rate");
    EXPECT_EQ(parts.got, "1.5 times the base rate");
  }
}

TEST(ScheduleTest, ADecayThatIsTooLongBeginsWithinTheWarmUp) {
  const Schedule schedule = schedules::warmup_stable_decay({.warmup = 10_steps, .decay = 20_steps});
  double before = 0;
  for (int64_t update = 0; update <= 20; ++update) {
    const double now = schedule.factor({.updates = update, .total_updates = 20});
    EXPECT_LE(std::abs(now - before), 0.1 + 1e-12) << "no jump at " << update;
    before = now;
  }
  EXPECT_EQ(before, 0);
  // The decay in epochs, the warm-up in steps.
  const Schedule mixed = schedules::warmup_stable_decay({.warmup = 10_steps, .decay = 1_epochs});
  EXPECT_NEAR(mixed.factor({.updates = 90, .epochs = 4.5, .total_updates = 100, .total_epochs = 5}), 0.5, 1e-12);
}

TEST(ScheduleTest, OptionsOfTheOtherSchedulesAreChecked) {
  auto parts = error_of([] { return schedules::multi_step({}); });
  EXPECT_EQ(parts.what, "a schedule has no milestone");
  EXPECT_EQ(error_of([] { return schedules::constant(-1, 3_steps); }).got, "-1");
  EXPECT_EQ(error_of([] { return schedules::linear(0, -1); }).got, "-1");
  EXPECT_EQ(error_of([] { return schedules::exponential(0.9, 0_steps); }).got, "0 steps");
  EXPECT_EQ(error_of([] { return schedules::polynomial(0); }).where, "schedules::polynomial, power");
  EXPECT_EQ(error_of([] { return schedules::cosine_restarts(5_steps, 0); }).where,
            "schedules::cosine_restarts, multiplier");
  EXPECT_EQ(error_of([] { return schedules::exponential_warmup(5_steps, 0); }).expected, "above 0, up to 1");
  EXPECT_EQ(error_of([] { return schedules::warmup_stable_decay({.warmup = 5_steps}); }).what,
            "a schedule has no length");
  parts = error_of([] { return schedules::linear_then_cosine(5_steps, {.length = 5_steps}); });
  EXPECT_EQ(parts.got, "5 steps with a warm-up of 5 steps");
  parts = error_of([] { return schedules::cyclic({.up = 5_steps, .down = 1_epochs}); });
  EXPECT_EQ(parts.got, "5 steps and 1 epoch");
  EXPECT_EQ(error_of([] {
              return schedules::cyclic({.momentum = schedules::MomentumRange{0.9, 0.8}});
            }).where,
            "schedules::cyclic, momentum.high");
  EXPECT_EQ(error_of([] { return schedules::one_cycle({.rise = 0.6, .three_phases = true}); }).expected,
            "from 0 to 0.5 with three phases");
  EXPECT_EQ(error_of([] { return schedules::one_cycle({.start_divisor = 0.5}); }).got, "0.5");
  EXPECT_EQ(error_of([] { return schedules::reduce_on_plateau({.factor = 1}); }).where,
            "schedules::reduce_on_plateau, factor");
  EXPECT_EQ(error_of([] { return schedules::reduce_on_plateau({.patience = -1}); }).got, "-1");
  EXPECT_EQ(error_of([] { return schedules::per_epoch(schedules::reduce_on_plateau()); }).what,
            "a schedule that learns from values has no epochs");
  parts = error_of([] {
    return schedules::chained({schedules::reduce_on_plateau(), schedules::reduce_on_plateau({.monitor = "val_acc"})});
  });
  EXPECT_EQ(parts.got, "the loss and val_acc");
  EXPECT_EQ(error_of([] { return schedules::cosine().of(OptimizerField::lr, std::nan("")); }).got, "nan");
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
