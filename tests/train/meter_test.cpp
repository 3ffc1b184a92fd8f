// SPDX-License-Identifier: Apache-2.0
// Everything that a step may hand back, added up over a pass.
#include "athanor/train/meter.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "athanor/metrics/metrics.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::meter_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

at::Tensor numbers(const std::vector<double>& values, at::ScalarType dtype = at::kDouble) {
  at::Tensor made = at::empty({static_cast<int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), made.mutable_data_ptr<double>());
  return made.to(dtype);
}

at::Tensor scalar(double value, at::ScalarType dtype = at::kFloat) { return numbers({value}, dtype).reshape({}); }

/// A user's own.
struct Pairs {
  int64_t right = 0;
  int64_t all = 0;
  void merge(const Pairs& other) {
    right += other.right;
    all += other.all;
  }
  [[nodiscard]] double compute() const { return static_cast<double>(right) / static_cast<double>(all); }
  [[nodiscard]] Direction direction() const { return Direction::up; }
  void state(State& state) {
    state.value("right", right);
    state.value("all", all);
  }
};

double median(const at::Tensor& predictions, const at::Tensor&) { return predictions.median().item().toDouble(); }

Metrics some_metrics() {
  return {
      metrics::mae(), {"kept", accumulate::keep_all(median)}, Metric("", [](const at::Tensor& a, const at::Tensor& b) {
                                                                return Tree{{"bias", (a - b).mean()}};
                                                              }).lower_is_better()};
}

/// One micro-batch of a step that uses everything. Sixteenths keep the sums exact.
void step(Meter& meter, const std::vector<double>& values) {
  const auto samples = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / samples;
  meter.add_loss("loss_generator", scalar(mean, at::kDouble), samples);
  meter.add_loss("loss_critic", scalar(2 * mean, at::kDouble), samples);
  meter.measure(numbers(values), numbers(std::vector<double>(values.size(), 0.5)), static_cast<int64_t>(values.size()));
  meter.log("mean", scalar(mean, at::kDouble), samples);
  meter.log("tokens", 10 * mean, samples, {.samples = 10 * samples});
  meter.log("count", samples, samples, {.reduce = Reduce::sum});
  meter.log("low", scalar(*std::min_element(values.begin(), values.end())), samples, {.reduce = Reduce::minimum});
  meter.log("high", *std::max_element(values.begin(), values.end()), samples, {.reduce = Reduce::maximum});
  const auto right = std::count_if(values.begin(), values.end(), [](double value) { return value > 0; });
  meter.log("pairs", Pairs{right, static_cast<int64_t>(values.size())});
  meter.log("median", KeepAll(median, numbers(values), Tree()));
}

std::vector<std::vector<double>> batches(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::vector<double>> all(1 + random() % 12);
  for (std::vector<double>& batch : all) {
    batch.resize(size_t{1} << (random() % 4));
    for (double& value : batch) value = static_cast<double>(random() % 64) / 16 - 2;
  }
  return all;
}

Values after(const std::vector<std::vector<double>>& parts) {
  Meter meter(some_metrics());
  for (const auto& part : parts) step(meter, part);
  return meter.values();
}

std::vector<double> flat(const std::vector<std::vector<double>>& parts) {
  std::vector<double> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

void expect_near(const Values& got, const Values& expected) {
  ASSERT_EQ(got.names(), expected.names());
  // Sums of at most 96 numbers of size up to 40 in double.
  for (const auto& [name, value] : expected) EXPECT_NEAR(got[name], value, 96 * 40 * 2.3e-16 * 96) << name;
}

TEST(Meter, AddsUpEverythingThatAStepHandsBack) {
  Meter meter(some_metrics());
  step(meter, {1, -1, 0.5, 0.5});
  step(meter, {2});
  EXPECT_EQ(meter.values("train_"), (Values{{"train_loss_generator", 3.0 / 5},
                                            {"train_loss_critic", 6.0 / 5},
                                            {"train_mae", 3.5 / 5},
                                            {"train_kept", 0.5},
                                            {"train_bias", 0.5 / 5},
                                            {"train_mean", 3.0 / 5},
                                            {"train_tokens", 30.0 / 5},
                                            {"train_count", 5},
                                            {"train_low", -1},
                                            {"train_high", 2},
                                            {"train_pairs", 4.0 / 5},
                                            {"train_median", 0.5}}));
  EXPECT_EQ(meter.samples(), 5);
}

TEST(Meter, AnySplitEqualsTheWhole) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const auto parts = batches(seed);
    Values whole = after({flat(parts)});
    expect_near(after(parts), whole);
  }
}

// DeepEpochs, Lightning and others: the values of the last loader won, or means of means were taken.
TEST(Meter, TwoMergedMetersEqualOneOverAll) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const auto parts = batches(seed);
    std::mt19937 random(seed);
    Meter meters[2] = {Meter(some_metrics()), Meter(some_metrics())};
    for (const auto& part : parts) step(meters[random() % 2], part);
    meters[0].merge(meters[1]);
    Values got = meters[0].values();
    const Values whole = after({flat(parts)});
    expect_near(got, whole);
    EXPECT_EQ(meters[0].samples(), whole["count"]);
  }
}

TEST(Meter, TheShortLastBatchDoesNotCountAsMuchAsAFullOne) {
  Meter meter;
  meter.add_loss("loss", scalar(1), 32);
  meter.add_loss("loss", scalar(9), 4);
  EXPECT_DOUBLE_EQ(meter.values()["loss"], (1.0 * 32 + 9.0 * 4) / 36);
}

TEST(Meter, TheSameNameInAnotherBufferIsTheSameLossAndAnotherNameInTheSameBufferIsNot) {
  Meter meter;
  std::string name = "loss_a";
  meter.add_loss(name, 1.0, 1);
  meter.add_loss(std::string("loss_a"), 3.0, 1);
  name.back() = 'b';
  meter.add_loss(name, 7.0, 1);
  EXPECT_EQ(meter.values(), (Values{{"loss_a", 2}, {"loss_b", 7}}));
}

TEST(Meter, LastIsTheLast) {
  Meter meter;
  for (const double value : {3.0, 1.0, 2.0}) meter.log("lr", value, 8, {.reduce = Reduce::last});
  EXPECT_EQ(meter.values()["lr"], 2);
  Meter later;
  later.log("lr", scalar(5), 8, {.reduce = Reduce::last});
  meter.merge(later);
  EXPECT_EQ(meter.values()["lr"], 5);
}

TEST(Meter, NaNIsNotHidden) {
  Meter meter;
  meter.add_loss("loss", scalar(std::nan("")), 4);
  meter.add_loss("loss", scalar(1), 4);
  meter.log("low", scalar(std::nan("")), 4, {.reduce = Reduce::minimum});
  meter.log("low", 1.0, 4, {.reduce = Reduce::minimum});
  EXPECT_TRUE(std::isnan(meter.values()["loss"]));
  EXPECT_TRUE(std::isnan(meter.values()["low"]));
}

TEST(Meter, LeavesOutWhatHasSeenNothing) {
  Meter meter(some_metrics());
  EXPECT_TRUE(meter.empty());
  EXPECT_THAT(meter.values(), IsEmpty());
  meter.add_loss("loss", 2.0, 3);
  meter.add_loss("mse", std::nan(""), 0);
  meter.measure(numbers({}), numbers({}), 0);
  EXPECT_EQ(meter.values(), (Values{{"loss", 2}}));
  EXPECT_FALSE(meter.empty());
  EXPECT_THROW((void)meter.metrics()[0].compute(), Error);
}

TEST(Meter, OptionsSayWhereAValueGoes) {
  Meter meter({Metric("kept", accumulate::keep_all(median)), metrics::mae()});
  meter.add_loss("loss", 1.0, 1);
  meter.measure(numbers({1}), numbers({0}), 1);
  meter.log("epoch_only", 2.0, 1, {.bar = false});
  meter.log("bar_only", 3.0, 1, {.per_epoch = false});
  meter.log("step_only", 4.0, 1, {.per_epoch = false, .per_step = true, .bar = false});
  meter.log("median", KeepAll(median, numbers({1}), Tree()));
  EXPECT_EQ(meter.values().names(), (std::vector<std::string>{"loss", "kept", "mae", "epoch_only", "median"}));
  EXPECT_EQ(meter.bar_values().names(), (std::vector<std::string>{"loss", "mae", "bar_only"}));
}

TEST(Meter, KnowsTheDirectionOfEveryValue) {
  Meter meter({metrics::accuracy(), Metric("", [](const at::Tensor&, const at::Tensor&) {
                                      return Values{{"a", 1}, {"b", 2}};
                                    }).lower_is_better()});
  meter.add_loss("loss", 1.0, 1);
  meter.measure(numbers({1, 0}, at::kFloat).reshape({1, 2}), numbers({0}, at::kLong), 1);
  meter.log("pairs", Pairs{1, 2});
  meter.log("number", 1.0, 1);
  EXPECT_THAT(meter.directions("val_"),
              ElementsAre(Pair("val_loss", Direction::down), Pair("val_acc", Direction::up),
                          Pair("val_a", Direction::down), Pair("val_b", Direction::down),
                          Pair("val_pairs", Direction::up), Pair("val_number", Direction::unknown)));
}

TEST(Meter, ResetKeepsTheOrderOfTheFirstEpoch) {
  Meter meter(some_metrics());
  step(meter, {1, 2});
  const std::vector<std::string> names = meter.values().names();
  meter.reset();
  EXPECT_TRUE(meter.empty());
  EXPECT_EQ(meter.samples(), 0);
  EXPECT_THAT(meter.values(), IsEmpty());
  meter.log("high", 1.0, 1, {.reduce = Reduce::maximum});
  step(meter, {0.5});
  EXPECT_EQ(meter.values().names(), names);
  EXPECT_EQ(meter.values()["pairs"], 1);
}

TEST(Meter, ANewMeterThatHasNeverSeenTheNamesGoesOnFromASavedState) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const auto parts = batches(seed);
    const size_t cut = seed % (parts.size() + 1);
    Meter through(some_metrics());
    for (size_t i = 0; i < cut; ++i) step(through, parts[i]);
    const Tree saved = save_state(through);
    Meter fresh(some_metrics());
    load_state(fresh, saved);
    Meter dirty(some_metrics());
    dirty.log("other", 1.0, 1);
    step(dirty, {1, 0.25});
    load_state(dirty, saved);
    EXPECT_EQ(dirty.values(), through.values());  // it knows the kinds already
    for (size_t i = cut; i < parts.size(); ++i) {
      for (Meter* meter : {&through, &fresh, &dirty}) step(*meter, parts[i]);
    }
    EXPECT_THAT(compare_states(save_state(through), save_state(dirty)), IsEmpty()) << seed;
    if (cut == parts.size()) continue;  // nothing came after: its accumulators still wait
    EXPECT_EQ(fresh.values(), through.values()) << seed;
    EXPECT_THAT(compare_states(save_state(through), save_state(fresh)), IsEmpty()) << seed;
  }
}

TEST(Meter, MetricsWithoutANameHaveAStateEach) {
  const auto with = [](const char* key) {
    return Metric("", [key](const at::Tensor& a, const at::Tensor&) { return Tree{{key, a.sum()}}; });
  };
  Meter meter({with("a"), metrics::mae(), with("b")});
  meter.measure(numbers({1, 2}), numbers({1, 2}), 2);
  Meter loaded({with("a"), metrics::mae(), with("b")});
  load_state(loaded, save_state(meter));
  EXPECT_EQ(loaded.values(), (Values{{"a", 3}, {"mae", 0}, {"b", 3}}));
}

TEST(Meter, WhatWaitsForItsKindIsSavedAgainUnchanged) {
  Meter meter;
  meter.log("pairs", Pairs{3, 4});
  meter.log("median", KeepAll(median, numbers({1, 2, 3}), Tree()));
  const Tree saved = save_state(meter);
  Meter waiting;
  load_state(waiting, saved);
  EXPECT_FALSE(waiting.empty());
  EXPECT_THAT(waiting.values(), IsEmpty());
  Tree again = save_state(waiting);
  EXPECT_THAT(compare_states(again, saved), IsEmpty());
  waiting.log("pairs", Pairs{1, 4});
  waiting.log("median", KeepAll(median, numbers({9, 9, 9}), Tree()));
  EXPECT_EQ(waiting.values(), (Values{{"pairs", 0.5}, {"median", 3}}));
  save_state(waiting, again);  // writes over the earlier one, which shares nothing with `saved`
  Meter second;
  load_state(second, saved);
  second.log("pairs", Pairs{0, 0});
  EXPECT_EQ(second.values()["pairs"], 0.75);
}

TEST(Meter, MergesWhatWaitsForItsKind) {
  Meter saved;
  saved.log("pairs", Pairs{3, 4});
  Meter waiting;
  load_state(waiting, save_state(saved));
  Meter live;
  live.log("pairs", Pairs{1, 4});
  Meter left = waiting;
  left.merge(live);
  EXPECT_EQ(left.values()["pairs"], 0.5);
  live.merge(waiting);
  EXPECT_EQ(live.values()["pairs"], 0.5);
  Meter empty;
  empty.merge(waiting);
  empty.log("pairs", Pairs{0, 4});
  EXPECT_EQ(empty.values()["pairs"], 3.0 / 8);
  EXPECT_THAT(error_of([&] { return waiting.merge(Meter(waiting)), 0; }).got, HasSubstr("pairs"));
}

TEST(Meter, ASavedAccumulatorOfAnotherKindIsRefused) {
  Meter meter;
  meter.log("pairs", Pairs{3, 4});
  Meter loaded;
  load_state(loaded, save_state(meter));
  const Error::Parts parts = error_of([&] { return loaded.log("pairs", Sum(1.0)), 0; });
  EXPECT_EQ(parts.where, "log(\"pairs\")");
  EXPECT_THAT(parts.got, AllOf(HasSubstr("athanor::Sum"), HasSubstr("missing")));
}

TEST(Meter, ANameHasOneOwner) {
  Meter meter({metrics::mae()});
  meter.add_loss("loss", 1.0, 1);
  meter.log("spread", 1.0, 1);
  const auto refused = [&](auto&& action) { return error_of([&] { return action(), 0; }); };
  EXPECT_EQ(refused([&] { meter.log("mae", 1.0, 1); }).what, "the name 'mae' belongs to a metric already");
  EXPECT_EQ(refused([&] { meter.log("loss", 1.0, 1); }).what, "the name 'loss' belongs to a loss already");
  EXPECT_EQ(refused([&] { meter.log("loss", Pairs{1, 1}); }).got, "a logged value called 'loss'");
  EXPECT_EQ(refused([&] { meter.add_loss("spread", 1.0, 1); }).what,
            "the name 'spread' belongs to a logged value already");
  EXPECT_EQ(refused([&] { meter.add_loss("mae", 1.0, 1); }).got, "a loss called 'mae'");
  EXPECT_EQ(meter.values(), (Values{{"loss", 1}, {"spread", 1}}));
  EXPECT_EQ(refused([] { Meter({metrics::mae(), metrics::mae()}); }).what, "two metrics have the same name");
}

TEST(Meter, AValueIsLoggedInOneWay) {
  Meter meter;
  meter.log("a", 1.0, 1);
  meter.log("a", 1.0, 1, {.samples = 7});  // a weight is of each value
  const Error::Parts other = error_of([&] { return meter.log("a", 1.0, 1, {.reduce = Reduce::sum}), 0; });
  EXPECT_EQ(other.what, "the value 'a' is logged in two ways");
  EXPECT_THAT(other.got, HasSubstr(".reduce = sum"));
  EXPECT_THAT(other.expected, HasSubstr(".reduce = mean"));
  EXPECT_THAT(error_of([&] { return meter.log("a", 1.0, 1, {.bar = false}), 0; }).got, HasSubstr(".bar = false"));
  const Error::Parts kind = error_of([&] { return meter.log("a", Pairs{1, 1}), 0; });
  EXPECT_THAT(kind.got, HasSubstr("an accumulator"));
  EXPECT_THAT(kind.expected, HasSubstr("a number"));
  meter.log("b", Pairs{1, 1});
  EXPECT_THAT(error_of([&] { return meter.log("b", 1.0, 1), 0; }).expected, HasSubstr("an accumulator"));
  const Error::Parts type = error_of([&] { return meter.log("b", Sum(1.0)), 0; });
  EXPECT_EQ(type.where, "log(\"b\")");
  EXPECT_THAT(type.got, HasSubstr("athanor::Sum"));
  EXPECT_THAT(error_of([&] { return meter.log("c", Pairs{1, 1}, {.reduce = Reduce::sum}), 0; }).got, ".reduce = sum");
  EXPECT_THAT(error_of([&] { return meter.log("c", Pairs{1, 1}, {.samples = 2}), 0; }).got, ".samples = 2");
}

TEST(Meter, TwoValuesOfOneNameAreRefused) {
  Meter meter({Metric("f", [](const at::Tensor&, const at::Tensor&) { return Values{{"a", 1}}; })});
  meter.measure(numbers({1}), Tree(), 1);
  meter.log("f_a", 1.0, 1);
  EXPECT_EQ(error_of([&] { return meter.values("val_"); }).got, "val_f_a");
}

TEST(Meter, RefusesToMergeOtherMetrics) {
  Meter meter({metrics::mae()});
  const Error::Parts parts = error_of([&] { return meter.merge(Meter()), 0; });
  EXPECT_EQ(parts.got, "no metrics");
  EXPECT_EQ(parts.expected, "mae");
}

// A meta tensor has no values: any reading back of a tensor that is not on the CPU throws.
TEST(Meter, ReadsNothingBackFromADevice) {
  const at::Tensor value = scalar(1).to(at::kMeta);
  Meter meter({metrics::mae(), {"kept", accumulate::keep_all(median)}});
  for (int i = 0; i < 2; ++i) {
    meter.add_loss("loss", value, 4);
    meter.measure(numbers({1, 2}).to(at::kMeta), numbers({1, 2}).to(at::kMeta), 2);
    for (const Reduce reduce : {Reduce::mean, Reduce::sum, Reduce::last, Reduce::minimum, Reduce::maximum}) {
      meter.log("value_" + std::to_string(static_cast<int>(reduce)), value, 4, {.reduce = reduce});
    }
    meter.log("median", KeepAll(median, numbers({1, 2}).to(at::kMeta), Tree()));
  }
  Meter other = meter;
  meter.merge(other);
  EXPECT_EQ(meter.samples(), 16);
}

}  // namespace
}  // namespace athanor::meter_test
