// SPDX-License-Identifier: Apache-2.0
// When checkpoints are written, what is in them, and which stay.
#include <thread>

#include "athanor/callbacks/weight_average.hpp"
#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/train/weights.hpp"
#include "tests/callbacks/run_again.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::checkpoints_test {
namespace {

namespace fs = std::filesystem;
using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckpointsOfARun : public RunTest {
 protected:
  /// 22 samples in batches of 4: 6 steps an epoch.
  History train(CheckpointsOptions checkpoints, int64_t epochs = 3, Callbacks more = {}) {
    TrainerOptions options = with_checkpoints(run, std::move(checkpoints), epochs);
    options.callbacks.insert(options.callbacks.begin(), more.begin(), more.end());
    Trainer trainer(options);
    return trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  }
  Classifier task;
};

TEST_F(CheckpointsOfARun, TheLastAndTheBestAreKeptByDefault) {
  const History history = train({.keep_last = 2}, 5);
  const auto losses = history["val_loss"];
  const auto best = std::min_element(losses.begin(), losses.end()) - losses.begin() + 1;
  std::vector<std::string> expected;
  for (int64_t epoch = 1; epoch <= 5; ++epoch) {
    if (epoch == best || epoch > 3) {
      expected.push_back("00000" + std::to_string(epoch) + "-epoch-" + std::to_string(epoch) + "-step-" +
                         std::to_string(6 * epoch));
    }
  }
  EXPECT_EQ(saved(), expected);
  const auto all = list_checkpoints(run);
  ASSERT_NE(best_of(all, true), nullptr);
  EXPECT_EQ(best_of(all, true)->facts->epoch, best);
  EXPECT_EQ(best_of(all, true)->facts->value, losses[static_cast<size_t>(best - 1)]);
  EXPECT_EQ(best_of(all, true)->facts->monitor, "val_loss");
}

TEST_F(CheckpointsOfARun, EveryDOfAnything) {
  train({.folder = "steps", .every = 4_steps, .keep_last = 100, .keep_best = 0, .at_end = false}, 2);
  EXPECT_THAT(saved("steps"), ElementsAre("000001-epoch-1-step-4", "000002-epoch-2-step-8", "000003-epoch-2-step-12"));
  fs::remove_all(run);
  train({.folder = "part", .every = Duration::epochs(0.5), .keep_last = 100, .keep_best = 0, .at_end = false}, 2);
  EXPECT_THAT(saved("part"), ElementsAre("000001-epoch-1-step-3", "000002-epoch-1-step-6", "000003-epoch-2-step-9",
                                         "000004-epoch-2-step-12"));
  fs::remove_all(run);
  train({.folder = "time", .every = Duration::seconds(1e-9), .keep_last = 100, .keep_best = 0}, 1);
  EXPECT_THAT(saved("time"), ::testing::Contains("000001-epoch-1-step-6").Times(::testing::Le(1)));
  EXPECT_FALSE(saved("time").empty());
}

TEST_F(CheckpointsOfARun, AnIntervalLongerThanAnEpochSavesToo) {
  train({.every = 8_steps, .keep_last = 100, .keep_best = 0, .at_end = false});
  EXPECT_THAT(saved(), ElementsAre("000001-epoch-2-step-8", "000002-epoch-3-step-16"));
}

TEST_F(CheckpointsOfARun, MilestonesStayForEver) {
  train({.every = 1_epochs, .keep_last = 1, .keep_best = 0, .keep_every = 2_epochs}, 5);
  EXPECT_THAT(saved(), ElementsAre("000002-epoch-2-step-12", "000004-epoch-4-step-24", "000005-epoch-5-step-30"));
}

TEST_F(CheckpointsOfARun, AtTheEndAndNowhereElse) {
  train({.every = {}, .keep_last = 1, .keep_best = 0});
  EXPECT_THAT(saved(), ElementsAre("000001-epoch-3-step-18"));
}

TEST_F(CheckpointsOfARun, OnDemandFromAnyThread) {
  auto checkpoints =
      std::make_shared<Checkpoints>(CheckpointsOptions{.every = {}, .keep_last = 100, .keep_best = 0, .at_end = false});
  TrainerOptions options = quiet(1_epochs, {Callback(checkpoints), Hooks{.step_end = [&](Trainer& trainer) {
                                              if (trainer.position().step != 2) return;
                                              std::thread([&] { checkpoints->request(); }).join();
                                            }}});
  options.run = run;
  Trainer trainer(options);
  trainer.fit(task, data_of(clouds(22)));
  EXPECT_THAT(saved(), ElementsAre("000001-epoch-1-step-3"));
  EXPECT_EQ(checkpoints->newest(), run / "checkpoints" / "000001-epoch-1-step-3");
}

// phww's two kinds: `best.pth` without an optimizer, `epochN.pth` with one.
TEST_F(CheckpointsOfARun, BestWithoutOptimizerBesideEveryEpochWithIt) {
  const Checkpoints best({.folder = "best", .every = {}, .keep_last = 0, .at_end = false, .weights_only = true});
  const History history = train({.folder = "epochs", .keep_last = 100, .keep_best = 0}, 3, {best});
  ASSERT_EQ(saved("epochs").size(), 3u);
  ASSERT_EQ(saved("best").size(), 1u);
  EXPECT_FALSE(fs::exists(run / "best" / saved("best")[0] / "optimizer.safetensors"));
  EXPECT_TRUE(fs::exists(run / "epochs" / saved("epochs")[0] / "optimizer.safetensors"));
  EXPECT_EQ(read_facts(run / "best" / saved("best")[0]).epoch, history.best()->epoch);
  EXPECT_EQ(content(run / "best" / saved("best")[0] / "weights.safetensors").size() > 0, true);
  Classifier other(9);
  load_weights(other.nets(), run / "best" / saved("best")[0] / "weights.safetensors");
  Classifier kept(10);
  load_weights(kept.nets(), run / "best.safetensors");
  expect_same(weights_of(other), weights_of(kept));
}

TEST_F(CheckpointsOfARun, AveragedWeightsAreThoseOfABestThatWasJudgedByThem) {
  const Checkpoints best({.folder = "best", .every = {}, .keep_last = 0, .at_end = false, .weights_only = true});
  train({.keep_last = 100}, 2, {Ema({.decay = 0.5}), best});
  Classifier other(9), kept(10), live(11);
  load_weights(other.nets(), run / "best" / saved("best").back() / "weights.safetensors");
  load_weights(kept.nets(), run / "best.safetensors");
  expect_same(weights_of(other), weights_of(kept));
  load_weights(live.nets(), run / "checkpoints" / saved().back() / "weights.safetensors");
  expect_other(weights_of(other), weights_of(live));
}

TEST_F(CheckpointsOfARun, StepIntervalsAreNotJudgedByAStaleValue) {
  train({.every = 4_steps, .keep_last = 100, .keep_best = 1}, 2);
  for (const RunCheckpoint& each : list_checkpoints(run)) {
    ASSERT_TRUE(each.facts);
    EXPECT_EQ(each.facts->monitor.empty(), each.facts->step % 6 != 0) << each.path;
  }
}

TEST_F(CheckpointsOfARun, TheBestOfAValidationWithinTheEpochIsSavedThere) {
  TrainerOptions options = with_checkpoints(run, {.every = {}, .keep_last = 0, .keep_best = 3, .at_end = false}, 2);
  options.validate_every = Duration::epochs(0.5);
  Trainer trainer(options);
  const History history = trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  auto losses = history["val_loss"];
  ASSERT_EQ(losses.size(), 4u);
  std::sort(losses.begin(), losses.end());
  std::vector<double> kept;
  for (const RunCheckpoint& each : list_checkpoints(run)) kept.push_back(each.facts->value);
  std::sort(kept.begin(), kept.end());
  EXPECT_THAT(kept, ElementsAre(losses[0], losses[1], losses[2]));
}

TEST_F(CheckpointsOfARun, WeightsAreAPlainFileAndTheManifestSaysWhatIsIn) {
  train({.keep_last = 1, .keep_best = 0}, 1);
  const fs::path last = run / "checkpoints" / saved().back();
  EXPECT_THAT(SafetensorsFile(last / "weights.safetensors").names(), ::testing::Contains("norm.running_var"));
  const CheckpointFacts facts = read_facts(last);
  EXPECT_EQ(facts.epoch, 1);
  EXPECT_TRUE(facts.epoch_done);
  EXPECT_EQ(facts.step, 6);
  EXPECT_EQ(facts.samples, 22);
  EXPECT_EQ(facts.settings["lr"].real(), 0.02);
  EXPECT_EQ(facts.options["seed"].text(), "5");
  EXPECT_EQ(facts.device, "cpu");
}

TEST_F(CheckpointsOfARun, NothingIsDoneWithoutARunFolder) {
  TrainerOptions options = quiet(1_epochs, {Checkpoints()});
  Trainer trainer(options);
  EXPECT_EQ(trainer.fit(task, data_of(clouds(22))).epochs().size(), 1u);
}

TEST_F(CheckpointsOfARun, RefusesOptionsThatKeepNothing) {
  EXPECT_EQ(error_of([] { Checkpoints({.keep_last = 0, .keep_best = 0}); }).what, "no checkpoint would be kept");
  EXPECT_EQ(error_of([] { Checkpoints({.every = 0_steps}); }).what, "an interval of nothing");
  EXPECT_EQ(error_of([] { Checkpoints({.keep_last = -1}); }).where, "CheckpointsOptions::keep_last");
  const Checkpoints one({.keep_best = 0}), same({.keep_best = 0});
  const Error::Parts parts = error_of([&] { train({.keep_best = 0}, 1, {one}); });
  EXPECT_EQ(parts.what, "two callbacks of one kind");
}

TEST_F(CheckpointsOfARun, RetentionNeverRemovesTheOnlyGoodOne) {
  train({.keep_last = 1, .keep_best = 0}, 2);
  ASSERT_THAT(saved(), ElementsAre("000002-epoch-2-step-12"));
  // Damaged ones neither count nor make room: after the next save one good one is there, whatever was broken before.
  fs::copy(run / "checkpoints" / saved()[0], run / "checkpoints" / "000007-epoch-9-step-99",
           fs::copy_options::recursive);
  fs::resize_file(run / "checkpoints" / "000007-epoch-9-step-99" / "manifest.json", 10);
  Classifier again(3);
  Trainer trainer(with_checkpoints(run, {.keep_last = 1, .keep_best = 0}, 3));
  trainer.fit(again, data_of(clouds(22)), data_of(clouds(10, 2)));
  EXPECT_THAT(saved(), ElementsAre("000007-epoch-9-step-99", "000008-epoch-3-step-18"));
  EXPECT_NO_THROW(static_cast<void>(read_checkpoint(run / "checkpoints" / "000008-epoch-3-step-18")));
}

}  // namespace
}  // namespace athanor::testing::checkpoints_test
