// SPDX-License-Identifier: Apache-2.0
// Schedules that learn from a value of the run: which value they get, when, and what is refused.
#include <map>

#include "athanor/callbacks/reduce_on_plateau.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::plateau_schedule_test {
namespace {

using namespace literals;
using ::testing::HasSubstr;

constexpr double base = 0.5;

/// The clouds with a schedule.
class Scheduled : public Classifier {
 public:
  explicit Scheduled(Schedule schedule, uint64_t seed = 1) : Classifier(seed), schedule_(std::move(schedule)) {}
  Optimizers configure_optimizers() override {
    return {NamedOptimizer{
        .name = "optimizer", .optimizer = optim::SGD({.lr = base}).on(parameters()), .schedule = schedule_}};
  }

 private:
  Schedule schedule_;
};

struct Messages : Listener {
  void on_message(const events::Message& message) override { texts.push_back(message.text); }
  std::vector<std::string> texts;
};

/// What torch's ReduceLROnPlateau does with the values of a history, in factors before each epoch.
std::vector<double> factors_by_hand(const History& history, const std::string& name, bool up, double by,
                                    int64_t patience) {
  std::vector<double> factors{1};
  double best = up ? -1e300 : 1e300;
  int64_t bad = 0;
  for (const double value : history[name]) {
    const bool better = up ? value > best : value < best;
    if (better) best = value;
    bad = better ? 0 : bad + 1;
    factors.push_back(factors.back() * (bad > patience ? by : 1));
    if (bad > patience) bad = 0;
  }
  return factors;
}

TEST(PlateauSchedule, GetsTheValueOfEachValidation) {
  struct Case {
    std::string monitor, used;
    Mode mode;
  };
  for (const auto& [monitor, used, mode] : {Case{"", "val_loss", Mode::min}, Case{"val_acc", "val_acc", Mode::max},
                                            Case{"train_loss", "train_loss", Mode::min}}) {
    SCOPED_TRACE(used);
    Scheduled task(schedules::reduce_on_plateau(
        {.monitor = monitor, .mode = mode, .factor = 0.5, .patience = 0, .min_change = 0}));
    std::vector<double> rates;
    auto listener = std::make_shared<Messages>();
    TrainerOptions options = quiet(
        12_epochs, {Hooks{.epoch_begin = [&](Trainer& t) { rates.push_back(t.optimizers()[0].optimizer->lr()); }}});
    options.track = {listener};
    Trainer trainer(options);
    const History history = trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
    const std::vector<double> expected = factors_by_hand(history, used, mode == Mode::max, 0.5, 0);
    for (size_t i = 0; i < rates.size(); ++i) EXPECT_DOUBLE_EQ(rates[i], base * expected[i]) << "epoch " << i + 1;
    ASSERT_LT(expected.back(), 1) << "a run that shows something";
    EXPECT_THAT(listener->texts,
                ::testing::Contains(HasSubstr(used + " has not improved: lr of optimizer is 0.25 now")));
  }
}

TEST(PlateauSchedule, WithoutValidationItIsTheTrainingLoss) {
  Scheduled task(schedules::reduce_on_plateau());
  Trainer trainer(quiet(2_epochs));
  EXPECT_NO_THROW(trainer.fit(task, data_of(clouds(22))));
}

TEST(PlateauSchedule, AnUnknownMonitorAndTheWrongWayAreRefusedBeforeTheFirstStep) {
  const auto begin = [](schedules::PlateauOptions plateau) {
    Scheduled task(schedules::sequence({schedules::linear_warmup(3_steps), schedules::reduce_on_plateau(plateau)}));
    Trainer trainer(quiet(2_epochs));
    const auto parts = error_of([&] { return trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2))); });
    EXPECT_EQ(trainer.position().step, 0);
    return parts;
  };
  EXPECT_EQ(begin({.monitor = "val_ac"}).todo, "did you mean val_acc?");
  const auto parts = begin({.monitor = "val_acc"});
  EXPECT_EQ(parts.what, "a schedule waits for a value to go the wrong way");
  EXPECT_EQ(parts.got, "Mode::min for val_acc");
  EXPECT_EQ(parts.expected, "Mode::max: more of it is better");
}

TEST(PlateauSchedule, TheCallbackDoesNotMixWithIt) {
  Scheduled task(schedules::reduce_on_plateau());
  Trainer trainer(quiet(2_epochs, {ReduceOnPlateau()}));
  EXPECT_EQ(error_of([&] { return trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2))); }).what,
            "a schedule and a plateau both want to set the learning rate");
}

// keras#14862: the state of a plateau was lost when a run went on, and the rate was reduced at the wrong time.
TEST(PlateauSchedule, KerasLosesThePlateauOnResumeThisDoesNot) {
  const auto schedule = [] {
    return schedules::together(
        {schedules::sequence({schedules::linear_warmup(4_steps),
                              schedules::reduce_on_plateau({.factor = 0.5, .patience = 0, .min_change = 0.05})}),
         schedules::cosine(0.5).of(OptimizerField::weight_decay)});
  };
  std::map<int64_t, Tree> saved;
  Scheduled whole_task(schedule());
  Trainer whole(quiet(6_epochs, {Hooks{.step_end = [&](Trainer& t) { saved[t.position().step] = t.save_state(); }}}));
  const History expected = whole.fit(whole_task, data_of(clouds(22)), data_of(clouds(10, 2)));
  ASSERT_LT(whole.optimizers()[0].optimizer->lr(), base) << "a run that shows something";
  for (const auto& [step, state] : saved) {
    if (step % 5 != 0 && step % 6 != 0) continue;  // within epochs and at their ends
    SCOPED_TRACE(step);
    Scheduled task(schedule(), 99);
    Trainer trainer(quiet(6_epochs, {Hooks{}}));
    trainer.load_state(task, state);
    expect_same(expected, trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2))));
    expect_same(whole.save_state(), trainer.save_state());
  }
}

// DeepEpochs 0.6 puts the optimizer's state into the scheduler: 0.1, 0.1, 0.01 goes on with 0.01, 0.001, 0.001.
TEST(PlateauSchedule, DeepEpochsStepScheduleGoesOnAfterAResume) {
  Tree state;
  Scheduled first(schedules::step(2_epochs, 0.1));
  Trainer trainer(quiet(3_epochs, {Hooks{}}));
  trainer.fit(first, data_of(clouds(22)));
  state = trainer.save_state();
  Scheduled second(schedules::step(2_epochs, 0.1), 99);
  std::vector<double> rates;
  Trainer other(
      quiet(3_epochs, {Hooks{.epoch_begin = [&](Trainer& t) { rates.push_back(t.optimizers()[0].optimizer->lr()); }}}));
  other.load_state(second, state);
  other.fit(second, data_of(clouds(22)));
  ASSERT_EQ(rates.size(), 3u);
  EXPECT_DOUBLE_EQ(rates[0], 0.1 * base);
  EXPECT_DOUBLE_EQ(rates[1], 0.01 * base);
  EXPECT_DOUBLE_EQ(rates[2], 0.01 * base);
}

// Lightning#6948: a OneCycle that is stepped by epochs never completes.
TEST(PlateauSchedule, LightningOneCycleCompletes) {
  Scheduled task(schedules::one_cycle());
  Trainer trainer(quiet(5_epochs));
  trainer.fit(task, data_of(clouds(22)));
  EXPECT_NEAR(trainer.optimizers()[0].optimizer->lr(), base / 25 / 1e4, 1e-15);
}

}  // namespace
}  // namespace athanor::testing::plateau_schedule_test
