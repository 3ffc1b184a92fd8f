// SPDX-License-Identifier: Apache-2.0
// The same program started again goes on from its checkpoints, to the same bits.
#include <sys/wait.h>

#include <chrono>
#include <thread>

#include "athanor/callbacks/early_stopping.hpp"
#include "athanor/callbacks/weight_average.hpp"
#include "athanor/core/folder.hpp"
#include "athanor/model.hpp"
#include "athanor/nn/loss.hpp"
#include "tests/callbacks/run_again.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::checkpoints_resume_test {
namespace {

namespace fs = std::filesystem;
using namespace athanor::literals;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A kill between the last checkpoint of one Checkpoints and that of another, which comes after it.
TEST_F(ResumeFromDisk, WhatTheOtherCheckpointsDidNotSaveIsSavedByTheNextStart) {
  TrainerOptions options = with_checkpoints(run, {.keep_best = 0});
  options.callbacks.emplace_back(
      Checkpoints({.folder = "weights", .every = {}, .keep_last = 1, .keep_best = 0, .weights_only = true}));
  const Ended whole = train(options);
  ASSERT_EQ(list_checkpoints_in(run / "weights").size(), 1u);
  const std::string name = list_checkpoints_in(run / "weights")[0].path.filename().string().substr(6);
  fs::remove_all(run / "weights");
  const Ended again = train(options);
  ASSERT_TRUE(again.from);
  ASSERT_EQ(list_checkpoints_in(run / "weights").size(), 1u);
  EXPECT_THAT(list_checkpoints_in(run / "weights")[0].path.string(), ::testing::EndsWith(name));
  expect_same(whole.state, again.state);
}

TEST_F(ResumeFromDisk, EndsAsTheRunThatWasNeverDisturbedFromEveryStep) {
  const Ended whole = train(and_fall(with_checkpoints(root / "whole", every_step)));
  for (int64_t step = 1; step <= 18; ++step) {
    SCOPED_TRACE("fallen after step " + std::to_string(step));
    fs::remove_all(run);
    fall_after(step, with_checkpoints(run, every_step));
    const Ended resumed = train(and_fall(with_checkpoints(run, every_step)), 99);
    ASSERT_TRUE(resumed.from);
    expect_same(whole.history, resumed.history);
    expect_same(whole.state, resumed.state);
    EXPECT_THAT(resumed.messages->warnings, IsEmpty());
    EXPECT_EQ(content(root / "whole" / "best.safetensors"), content(run / "best.safetensors"));
  }
}

TEST_F(ResumeFromDisk, WithAveragesBf16WorkersAndEarlyStoppingToo) {
  const auto options = [&](const fs::path& folder) {
    TrainerOptions made = with_checkpoints(folder, {.every = 2_steps, .keep_last = 2}, 4);
    made.callbacks.insert(made.callbacks.begin(), Ema({.decay = 0.8}));
    made.callbacks.insert(made.callbacks.begin() + 2,
                          EarlyStopping({.monitor = {.monitor = "val_loss"}, .patience = 1}));
    made.precision = Precision::bf16;
    made.workers = 2;
    made.accumulate = 2;
    made.clip = Clip{.norm = 1.0};
    return made;
  };
  const Ended whole = train(and_fall(options(root / "whole")));
  for (const int64_t step : {3, 5, 6}) {
    fs::remove_all(run);
    fall_after(step, options(run));
    const Ended resumed = train(and_fall(options(run)), 99);
    expect_same(whole.history, resumed.history);
    expect_same(whole.state, resumed.state);
  }
}

TEST_F(ResumeFromDisk, AFreshFolderStartsAfreshAndAFinishedRunIsNotTrainedAgain) {
  const Ended first = train(with_checkpoints(run));
  EXPECT_FALSE(first.from);
  const Ended again = train(with_checkpoints(run), 99);
  ASSERT_TRUE(again.from);
  expect_same(first.history, again.history);
  expect_same(first.state, again.state);
  EXPECT_FALSE(fs::exists(root / "run-2"));
  EXPECT_THAT(again.messages->texts,
              Contains(AllOf(HasSubstr("continuing from " + again.from->string()), HasSubstr("epoch 3, step 18"))));
}

TEST_F(ResumeFromDisk, MoreEpochsGoOnAsIfThereHadBeenMoreFromTheBeginning) {
  const Ended whole = train(with_checkpoints(root / "whole", {}, 5));
  train(with_checkpoints(run, {}, 3));
  const Ended resumed = train(with_checkpoints(run, {}, 5), 99);
  expect_same(whole.history, resumed.history);
  expect_same(whole.state["task"], resumed.state["task"]);
  EXPECT_THAT(resumed.messages->texts, Contains(HasSubstr("max_duration 5 epochs instead of 3 epochs")));
}

TEST_F(ResumeFromDisk, NeverIsTheDefaultAndTakesTheNextName) {
  TrainerOptions options = with_checkpoints(run);
  options.resume = {};
  train(options);
  const Ended again = train(options);
  EXPECT_FALSE(again.from);
  EXPECT_TRUE(fs::exists(root / "run-2" / "history.csv"));
}

TEST_F(ResumeFromDisk, AFolderOfSomebodyElseIsLeftAlone) {
  fs::create_directories(run);
  std::ofstream(run / "thesis.txt") << "x";
  train(with_checkpoints(run));
  EXPECT_TRUE(fs::exists(root / "run-2" / "checkpoints"));
  EXPECT_FALSE(fs::exists(run / "checkpoints"));
}

TEST_F(ResumeFromDisk, ARunKilledBeforeItsFirstCheckpointBeginsAgainInItsFolder) {
  const CheckpointsOptions late{.every = 2_epochs, .keep_best = 0};
  fall_after(8, with_checkpoints(run, late));
  EXPECT_TRUE(fs::exists(run / "history.csv"));
  const Ended again = train(and_fall(with_checkpoints(run, late)));
  EXPECT_FALSE(again.from);
  EXPECT_EQ(again.history.epochs().size(), 3u);
  EXPECT_FALSE(fs::exists(root / "run-2"));
  EXPECT_THAT(again.messages->texts, Contains(HasSubstr("no checkpoint")));
}

// Nothing of what came after the checkpoint is left: no rows, no best.
TEST_F(ResumeFromDisk, NoGhostsOfStepsThatDidNotHappen) {
  struct AtBegin {
    std::string rows;
    bool best = true;
  };
  const CheckpointsOptions first_only{.every = 5_steps, .keep_last = 1, .keep_best = 0, .at_end = false};
  fall_after(8, with_checkpoints(run, first_only));
  ASSERT_THAT(saved(), ElementsAre("000001-epoch-1-step-5"));
  ASSERT_TRUE(fs::exists(run / "history.csv"));
  ASSERT_TRUE(fs::exists(run / "best.safetensors"));
  auto seen = std::make_shared<AtBegin>();
  TrainerOptions options = with_checkpoints(run, first_only);
  options.callbacks.emplace_back(Hooks{.fit_begin = [&, seen](Trainer&) {
    seen->best = fs::exists(run / "best.safetensors");
    // The listener that keeps the rows has a thread of its own. Nothing adds rows before the first epoch ends.
    for (int wait = 0; wait < 1000 && fs::exists(run / "history.csv"); ++wait) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    seen->rows = content(run / "history.csv");
  }});
  train(options, 99);
  EXPECT_EQ(seen->rows, "");
  EXPECT_FALSE(seen->best) << "the best of epoch 1, which has not happened yet";
}

/// Keeps what asks it to hand its points to the system.
struct Holding : Listener {
  void on_epoch_end(const events::EpochEnd& end) override { rows.push_back(end.epoch.steps); }
  void on_saving(const events::Saving& saving) override {
    told.push_back({saving.step, rows.empty() ? 0 : rows.back()});
    hold = saving.hold;
  }
  std::vector<int64_t> rows;
  std::vector<std::pair<int64_t, int64_t>> told;  // the step, and the last row before it
  std::shared_ptr<const void> hold;
};

TEST_F(ResumeFromDisk, ACheckpointIsThereOnlyWhenWhatWasLoggedBeforeIsInTheFiles) {
  const auto listener = std::make_shared<Holding>();
  std::vector<size_t> while_held;
  TrainerOptions options = with_checkpoints(run, {.every = 4_steps, .keep_last = 100, .keep_best = 0, .at_end = false});
  options.track = {listener};
  options.callbacks.emplace_back(Hooks{.step_end = [&](Trainer& trainer) {
    if (trainer.position().step > 1 && trainer.position().step % 4 == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      while_held.push_back(saved().size());
      listener->hold.reset();
    }
  }});
  Classifier task(1);
  Trainer(options).fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  ASSERT_GE(while_held.size(), 3u);
  for (size_t i = 0; i < while_held.size(); ++i) EXPECT_EQ(while_held[i], i) << "at save " << i;
  EXPECT_EQ(saved().size(), listener->told.size());
  // An epoch has 6 steps: its row is told before the state that has it is saved.
  for (const auto& [step, row] : listener->told) EXPECT_EQ(row, step / 6 * 6) << "at step " << step;
}

TEST_F(ResumeFromDisk, TheBestFileGoesBackToTheBestOfTheCheckpoint) {
  const CheckpointsOptions epoch{.keep_last = 1, .keep_best = 0, .at_end = false};
  TrainerOptions options = with_checkpoints(run, epoch, 1);
  train(and_fall(options));
  const std::string best = content(run / "best.safetensors");
  std::ofstream(run / "best.safetensors", std::ios::binary) << "of a future that was cut away";
  std::string found;
  options.callbacks.emplace_back(Hooks{.fit_end = [&](Trainer&) { found = content(run / "best.safetensors"); }});
  train(options, 99);
  EXPECT_EQ(found, best);
}

TEST_F(ResumeFromDisk, ADamagedNewestOneIsNamedAndSkipped) {
  const Ended whole = train(and_fall(with_checkpoints(root / "whole", every_step)));
  fall_after(9, with_checkpoints(run, every_step));
  const auto names = saved();
  const fs::path newest = run / "checkpoints" / names.back();
  fs::resize_file(newest / "optimizer.safetensors", fs::file_size(newest / "optimizer.safetensors") - 1);
  const fs::path before = run / "checkpoints" / names[names.size() - 2];
  fs::remove(before / "manifest.json");
  const Ended resumed = train(and_fall(with_checkpoints(run, every_step)), 99);
  EXPECT_EQ(resumed.from, run / "checkpoints" / names[names.size() - 3]);
  EXPECT_THAT(resumed.messages->warnings, ElementsAre(AllOf(HasSubstr(names.back() + " is left out"),
                                                            HasSubstr("optimizer.safetensors"), HasSubstr("bytes")),
                                                      AllOf(HasSubstr(names[names.size() - 2] + " is left out"))));
  expect_same(whole.history, resumed.history);
}

TEST_F(ResumeFromDisk, WhenAllAreDamagedTheRunIsNotBegunAgain) {
  fall_after(2, with_checkpoints(run, every_step));
  for (const std::string& name : saved()) fs::resize_file(run / "checkpoints" / name / "state.json", 0);
  Classifier task(99);
  const Tree before = weights_of(task);
  const Error::Parts parts = error_of([&] { train(and_fall(with_checkpoints(run, every_step)), task); });
  EXPECT_EQ(parts.what, "every checkpoint of the run is damaged");
  EXPECT_THAT(parts.got, HasSubstr(saved().back()));
  expect_same(before, weights_of(task));
}

TEST_F(ResumeFromDisk, FromANamedPlace) {
  const Ended whole = train(with_checkpoints(run, {.keep_last = 100}));
  const auto from = [&](const Resume& resume, const fs::path& folder) {
    TrainerOptions options = with_checkpoints(folder, {.keep_last = 100});
    options.resume = resume;
    return train(options, 99);
  };
  for (const auto& [resume, folder] :
       std::vector<std::pair<Resume, fs::path>>{{Resume::last(), run},
                                                {Resume::from_epoch(2), run},
                                                {Resume::best(), run},
                                                {Resume::from(run), root / "other"},
                                                {Resume::from(run / "checkpoints" / saved().front()), root / "third"},
                                                {Resume::from(run / "checkpoints" / saved().front()), run}}) {
    SCOPED_TRACE(resume.describe());
    const Ended resumed = from(resume, folder);
    ASSERT_TRUE(resumed.from);
    expect_same(whole.history, resumed.history);
    EXPECT_TRUE(fs::exists(folder / "history.csv"));
  }
  const Error::Parts parts = error_of([&] { from(Resume::from_epoch(7), run); });
  EXPECT_EQ(parts.what, "there is no such checkpoint to go on from");
  EXPECT_EQ(parts.expected, "one at the end of epoch 7");
  EXPECT_EQ(error_of([&] { from(Resume::from(root / "nowhere"), run); }).what, "there is no checkpoint at this place");
  EXPECT_EQ(error_of([&] { from(Resume::last(), root / "empty"); }).what, "there is no such checkpoint to go on from");
}

TEST_F(ResumeFromDisk, TextsOfThePlace) {
  for (const char* text : {"never", "auto", "last", "best", "epoch 3", "runs/x"}) {
    EXPECT_EQ(Resume::parse(text).describe(), text);
  }
  EXPECT_EQ(Resume::parse("epoch 3").epoch(), 3);
  EXPECT_EQ(Resume::parse("epoch x").kind(), Resume::Kind::place);
  EXPECT_EQ(error_of([] { static_cast<void>(Resume::parse("")); }).where, "option resume");
}

TEST_F(ResumeFromDisk, ASecondProcessOnTheSameFolderIsRefused) {
  fall_after(2, with_checkpoints(run, every_step));
  const FolderLock other = FolderLock::lock(run);
  const Error::Parts parts = error_of([&] { train(with_checkpoints(run, every_step)); });
  EXPECT_EQ(parts.what, "another run writes to this folder");
}

TEST_F(ResumeFromDisk, TheLockIsGivenBackAtTheEndOfTheCall) {
  Classifier task(1);
  Trainer trainer(with_checkpoints(run));
  trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  EXPECT_TRUE(FolderLock::try_lock(run));
  fall_after(2, with_checkpoints(root / "fallen"));
  EXPECT_TRUE(FolderLock::try_lock(root / "fallen"));
}

/// Data that depend on what the module remembers.
struct Curriculum : DataModule {
  explicit Curriculum(int64_t stage) : stage(stage) {}
  Data train() override { return data_of(clouds(22, static_cast<uint64_t>(stage))); }
  std::vector<Data> validation() override { return {data_of(clouds(10, 2))}; }
  void state(State& state) override { state.value("stage", stage); }
  int64_t stage;
};

TEST_F(ResumeFromDisk, ADataModuleIsAskedForItsDataAfterItRemembers) {
  const auto fit = [](const TrainerOptions& options, int64_t stage) {
    Classifier task(1);
    Curriculum data(stage);
    Trainer trainer(options);
    return trainer.fit(task, data);
  };
  const History whole = fit(and_fall(with_checkpoints(root / "whole", every_step)), 3);
  TrainerOptions options = with_checkpoints(run, every_step);
  options.callbacks.emplace_back(Fall{8});
  EXPECT_THROW(fit(options, 3), std::runtime_error);
  expect_same(whole, fit(and_fall(with_checkpoints(run, every_step)), 1));
}

TEST_F(ResumeFromDisk, InOneLineOfKeras) {
  const auto fit = [&](int64_t epochs) {
    torch::manual_seed(1);
    auto net = std::make_shared<Small>(1);
    Model model(net, {.loss = loss::cross_entropy, .optimizer = optim::Adam({.lr = 0.02})});
    return model.fit(data_of(clouds(22)), {.validation = data_of(clouds(10, 2)),
                                           .epochs = epochs,
                                           .run = run,
                                           .resume = Resume::automatic(),
                                           .batch_size = 4,
                                           .callbacks = {Checkpoints()},
                                           .verbosity = Verbosity::silent,
                                           .device = "cpu"});
  };
  fit(2);
  const History history = fit(4);
  EXPECT_EQ(history.epochs().size(), 4u);
  EXPECT_EQ(history.last().steps, 24);
}

}  // namespace
}  // namespace athanor::testing::checkpoints_resume_test
