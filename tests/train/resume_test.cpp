// SPDX-License-Identifier: Apache-2.0
// A run that is saved at any moment and goes on elsewhere is, bit for bit, the run that was never disturbed.
#include <map>

#include "athanor/callbacks/early_stopping.hpp"
#include "athanor/callbacks/keep_best.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::resume_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t steps_per_epoch = 6;  // 22 samples in batches of 4, the last one of 2
constexpr int64_t epochs = 3;

struct Watching {
  int workers = 0;
  RestoreBest restore = RestoreBest::never;
  Mode mode = Mode::min;
  std::optional<int64_t> patience = 2;
};

// The saver stands behind the callbacks that watch, as one would put a checkpoint.
TrainerOptions options_of(const Watching& watching, Hooks saver = {}) {
  const MonitorOptions monitor{.monitor = "val_loss", .mode = watching.mode};
  TrainerOptions options =
      quiet(Duration::epochs(epochs),
            {KeepBest({.monitor = monitor, .restore = watching.restore}),
             EarlyStopping({.monitor = monitor, .patience = *watching.patience}), std::move(saver)});
  options.workers = watching.workers;
  options.seed = 5;
  return options;
}

struct Undisturbed {
  Watching watching;
  std::map<std::string, Tree> saved;  // by the moment
  Tree end;
  History history;

  explicit Undisturbed(const Watching& watching) : watching(watching) {
    auto save = [this](const char* moment, bool by_step) {
      return [this, moment, by_step](Trainer& trainer) {
        const int64_t number = by_step ? trainer.position().step : trainer.position().epoch;
        saved[moment + std::to_string(number)] = trainer.save_state();
      };
    };
    Trainer trainer(options_of(watching, {.fit_begin = save("fit begin ", false),
                                          .epoch_begin = save("epoch begin ", false),
                                          .step_end = save("step ", true),
                                          .epoch_end = save("epoch end ", false)}));
    Classifier task;
    history = trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
    end = trainer.save_state();
  }

  void expect_the_same_end_from(const std::string& moment) const {
    SCOPED_TRACE(moment + ", " + std::to_string(watching.workers) + " workers");
    ASSERT_TRUE(saved.contains(moment));
    const Tree before = saved.at(moment).map([](const at::Tensor& tensor) { return tensor.clone(); });
    Classifier task(99);  // other first weights
    Trainer trainer(options_of(watching));
    trainer.load_state(task, saved.at(moment));
    torch::rand({17});
    const History resumed = trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
    expect_same(history, resumed);
    expect_same(end, trainer.save_state());
    EXPECT_THAT(compare_states(before, saved.at(moment)), ::testing::IsEmpty()) << "the saved state was written over";
  }
};

const Undisturbed& undisturbed(int workers) {
  static const Undisturbed in_place(Watching{.workers = 0});
  static const Undisturbed in_background(Watching{.workers = 2});
  return workers == 0 ? in_place : in_background;
}

class ResumeAfterStep : public ::testing::TestWithParam<int64_t> {};

TEST_P(ResumeAfterStep, EndsAsTheRunThatWasNeverDisturbed) {
  for (const int workers : {0, 2}) {
    undisturbed(workers).expect_the_same_end_from("step " + std::to_string(GetParam()));
  }
}
INSTANTIATE_TEST_SUITE_P(Resume, ResumeAfterStep, ::testing::Range<int64_t>(1, epochs* steps_per_epoch + 1));

TEST(Resume, TheUndisturbedRunIsWorthComparing) {
  const Undisturbed& run = undisturbed(0);
  EXPECT_EQ(run.history.epochs().size(), 3u);
  EXPECT_EQ(run.history.last().steps, epochs * steps_per_epoch);
  expect_other(run.saved.at("step 17")["task"], run.end["task"]);
  expect_same(run.end, undisturbed(2).end);
  EXPECT_THAT(run.history.names(),
              ::testing::ElementsAre("train_loss", "train_acc", "train_spread", "val_loss", "val_acc", "val_spread"));
}

TEST(Resume, BeforeTheFirstStepAndAtTheEdgesOfEpochs) {
  for (const int workers : {0, 2}) {
    undisturbed(workers).expect_the_same_end_from("fit begin 0");
    for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
      undisturbed(workers).expect_the_same_end_from("epoch begin " + std::to_string(epoch));
      undisturbed(workers).expect_the_same_end_from("epoch end " + std::to_string(epoch));
    }
  }
}

// The loss falls, so that with Mode::max the first epoch stays the best and patience runs out.
TEST(Resume, TheBestWeightsAndThePatienceOfARunThatStopsEarlyGoOnToo) {
  for (const RestoreBest restore : {RestoreBest::at_end, RestoreBest::each_epoch, RestoreBest::never}) {
    const Undisturbed run(Watching{.restore = restore, .mode = Mode::max, .patience = 1});
    ASSERT_EQ(run.history.stop_reason(), "no improvement of val_loss for 1 epoch");
    ASSERT_EQ(run.history.epochs().size(), 2u);
    for (const auto& [moment, state] : run.saved) run.expect_the_same_end_from(moment);
  }
}

TEST(Resume, ACallThatEndsWithinAnEpochIsClosedToo) {
  std::map<int64_t, Tree> saved;
  auto options = [&](bool saving) {
    TrainerOptions made = quiet(Duration::steps(8), {KeepBest(), Hooks{.step_end = [&saved, saving](Trainer& running) {
                                                       if (saving)
                                                         saved[running.position().step] = running.save_state();
                                                     }}});
    return made;
  };
  Classifier whole_task;
  Trainer whole(options(true));
  const History expected = whole.fit(whole_task, data_of(clouds(22)), data_of(clouds(10, 2)));
  EXPECT_EQ(expected.epochs().size(), 2u);
  for (const auto& [step, state] : saved) {
    Classifier task(99);
    Trainer trainer(options(false));
    trainer.load_state(task, state);
    expect_same(expected, trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2))));
    expect_same(whole.save_state(), trainer.save_state());
  }
}

TEST(Resume, ASavedStateIsNotTouchedByWhatComesAfter) {
  std::vector<std::pair<Tree, Tree>> saved;  // as it was handed out, and a copy of that moment
  Classifier task;
  Trainer trainer(options_of(Watching(), {.epoch_end = [&](Trainer& running) {
                               Tree state = running.save_state();
                               Tree copy = state.map([](const at::Tensor& tensor) { return tensor.clone(); });
                               saved.emplace_back(std::move(state), std::move(copy));
                             }}));
  trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  ASSERT_EQ(saved.size(), 3u);
  for (const auto& [state, copy] : saved) EXPECT_THAT(compare_states(state, copy), ::testing::IsEmpty());
}

TEST(Resume, SavingIntoTheSameTreeWritesOverIt) {
  Tree one;
  std::vector<std::vector<std::string>> wrong;
  Classifier task;
  Trainer trainer(options_of(Watching(), {.step_end = [&](Trainer& running) {
                               running.save_state(one);
                               wrong.push_back(compare_states(one, running.save_state()));
                             }}));
  trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  ASSERT_EQ(wrong.size(), 18u);
  for (const auto& lines : wrong) EXPECT_THAT(lines, ::testing::IsEmpty());
}

TEST(Resume, AnotherNetIsRefusedWithAllDifferencesAndNothingChanges) {
  Tree saved = undisturbed(0).saved.at("step 7").map([](const at::Tensor& tensor) { return tensor.clone(); });
  Tree& nets = *saved.find("task")->find("nets");
  nets.at_or_insert("in.weight") = torch::zeros({9, 4});
  nets.at_or_insert("out.bias") = torch::zeros({3}, torch::kDouble);
  nets.at_or_insert("extra.weight") = torch::zeros({2});
  std::erase_if(nets.entries(), [](const Tree::Entry& entry) { return entry.first == "norm.running_var"; });

  Classifier task(8);
  Trainer trainer(options_of(Watching()));
  trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  const Tree before = trainer.save_state();
  const Error::Parts parts = error_of([&] { trainer.load_state(task, saved); });
  EXPECT_EQ(parts.what, "a saved state does not fit");
  EXPECT_THAT(parts.got,
              AllOf(HasSubstr("different: task.nets.in.weight is float32 (8, 4), saved is float32 (9, 4)"),
                    HasSubstr("different: task.nets.out.bias is float32 (3), saved is float64 (3)"),
                    HasSubstr("unexpected: task.nets.extra.weight"), HasSubstr("missing: task.nets.norm.running_var")));
  EXPECT_THAT(compare_states(before, trainer.save_state()), ::testing::IsEmpty());
}

TEST(Resume, ARestoredCallThatIsRefusedBeforeItsFirstStepCanStillBeFinished) {
  const Undisturbed& run = undisturbed(0);
  Classifier task(99);
  Trainer trainer(options_of(Watching()));
  trainer.load_state(task, run.saved.at("step 8"));
  EXPECT_THROW(trainer.fit(task, Data(torch::randn({22, 5}), clouds(22).target)), Error);
  expect_same(run.history, trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2))));
  expect_same(run.end, trainer.save_state());
}

}  // namespace
}  // namespace athanor::testing::resume_test
