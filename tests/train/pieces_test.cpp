// SPDX-License-Identifier: Apache-2.0
// The loop in pieces, and what a task, a data module and a user may put in place of them.
#include "athanor/callbacks/keep_best.hpp"
#include "athanor/optim/sgd.hpp"
#include "athanor/train/diagnosis.hpp"
#include "athanor/train/loop.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::pieces_test {
namespace {

using namespace athanor::literals;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Events : Listener {
  std::vector<std::string> seen;
  void on_run_begin(const events::RunBegin&) override { seen.emplace_back("run"); }
  void on_stage_begin(const events::StageBegin& stage) override { seen.emplace_back(stage_name(stage.stage)); }
  void on_epoch_end(const events::EpochEnd&) override { seen.emplace_back("epoch"); }
  void on_run_end(const events::RunEnd&) override { seen.emplace_back("end"); }
};

TrainerOptions watched(Duration duration, const std::shared_ptr<Events>& listener) {
  TrainerOptions options = quiet(duration, {KeepBest()});
  options.track = {listener};
  return options;
}

TEST(Pieces, ALoopOfOnesOwnIsFit) {
  const auto whole_events = std::make_shared<Events>(), own_events = std::make_shared<Events>();
  Classifier whole_task, own_task;
  Trainer whole(watched(3_epochs, whole_events)), own(watched(3_epochs, own_events));
  const History expected = whole.fit(whole_task, data_of(clouds(22)), data_of(clouds(10)));

  Loop loop(own, own_task, {.train = data_of(clouds(22)), .validation = {data_of(clouds(10))}});
  while (loop.begin_epoch()) {
    while (loop.next()) loop.update();
    loop.end_epoch();
  }
  expect_same(expected, loop.end());
  expect_same(whole.save_state(), own.save_state());
  EXPECT_EQ(whole_events->seen, own_events->seen);
}

TEST(Pieces, SavedInALoopOfOnesOwnItGoesOnInAnother) {
  auto run = [](Trainer& trainer, Classifier& task, int64_t save_at, Tree* saved) {
    Loop loop(trainer, task, {.train = data_of(clouds(22)), .validation = {data_of(clouds(10))}});
    while (loop.begin_epoch()) {
      while (loop.next()) {
        loop.update();
        if (trainer.position().step == save_at && saved != nullptr) *saved = trainer.save_state();
      }
      loop.end_epoch();
    }
    return loop.end();
  };
  Tree saved;
  Classifier task, resumed_task(77);
  Trainer trainer(quiet(3_epochs, {KeepBest()})), resumed(quiet(3_epochs, {KeepBest()}));
  const History expected = run(trainer, task, 9, &saved);
  resumed.load_state(resumed_task, saved);
  expect_same(expected, run(resumed, resumed_task, 0, nullptr));
  expect_same(trainer.save_state(), resumed.save_state());
}

TEST(Pieces, BatchesOfOnesOwnAreShownAndSavedAsInFit) {
  const auto listener = std::make_shared<Events>();
  Classifier task;
  Trainer trainer(watched(1_epochs, listener));
  const Examples examples = clouds(12);
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (int64_t first = 0; first < 12; first += 4) {
      trainer.update(task, {.input = Tree(examples.input.slice(0, first, first + 4)),
                            .target = Tree(examples.target.slice(0, first, first + 4)),
                            .samples = 4});
    }
    trainer.end_epoch(task, data_of(clouds(6)));
  }
  const History history = trainer.end();
  EXPECT_EQ(history.epochs().size(), 2u);
  EXPECT_EQ(history.best()->monitor, "val_loss");
  EXPECT_THAT(listener->seen, ElementsAre("run", "train", "val", "epoch", "train", "val", "epoch", "end"));
}

TEST(Pieces, ATaskMayReplaceTheEpoch) {
  // Every window twice, the third left out.
  class Twice : public Classifier {
   public:
    void training_epoch(Loop& loop) override {
      for (int number = 1; loop.next(); ++number) {
        if (number == 3) {
          loop.skip();
          continue;
        }
        loop.update();
        ++updates;
      }
    }
    int updates = 0;
  } task;
  Trainer trainer(quiet(2_epochs));
  const History history = trainer.fit(task, data_of(clouds(20)));
  EXPECT_EQ(task.updates, 8);
  EXPECT_EQ(trainer.position().samples, 32);
  EXPECT_EQ(history.epochs().size(), 2u);
}

TEST(Pieces, ATaskHasItsOwnDataBeginsAndEnds) {
  class Owner : public Classifier {
   public:
    Feeds data() override { return {.train = data_of(clouds(8)), .validation = {data_of(clouds(6))}}; }
    StepOutput validation_step(const Batch& batch, StepContext& context) override {
      StepOutput output = Classifier::validation_step(batch, context);
      context.keep(output.predictions);
      return output;
    }
    void begin_stage(const StageContext& stage) override {
      calls.push_back("begin " + std::string(stage_name(stage.stage())));
    }
    void end_stage(const StageContext& stage) override {
      calls.push_back("end " + std::string(stage_name(stage.stage())) + " " + std::to_string(stage.kept().size()));
      if (stage.stage() == Stage::validation) stage.log("kept", static_cast<double>(stage.kept().size()));
    }
    std::vector<std::string> calls;
  } task;
  const History history = Trainer(quiet(1_epochs)).fit(task);
  EXPECT_THAT(task.calls, ElementsAre("begin train", "end train 0", "begin val", "end val 2"));
  EXPECT_EQ(history["val_kept"].front(), 2);
  Classifier without;
  EXPECT_EQ(error_of([&] { return Trainer(quiet(1_epochs)).fit(without); }).what, "there is nothing to train on");
}

TEST(Pieces, ADataModuleServesSeveralTasks) {
  struct Module : DataModule {
    void prepare() override { calls.emplace_back("prepare"); }
    void setup(Purpose) override { calls.emplace_back("setup"); }
    void teardown(Purpose) override { calls.emplace_back("teardown"); }
    Data train() override { return data_of(clouds(8)); }
    std::vector<Data> validation() override { return {data_of(clouds(6)).named("a"), data_of(clouds(4)).named("b")}; }
    std::vector<Data> test() override { return {data_of(clouds(5))}; }
    std::vector<std::string> calls;
  } module;
  Classifier one, other;
  Trainer trainer(quiet(1_epochs)), another(quiet(1_epochs));
  EXPECT_THAT(trainer.fit(one, module).names(), AllOf(Contains("a_loss"), Contains("b_acc")));
  another.fit(other, module);
  EXPECT_THAT(trainer.evaluate(one, module).names(), Contains("test_loss"));
  EXPECT_THAT(module.calls, ElementsAre("prepare", "setup", "teardown", "setup", "teardown", "setup", "teardown"));
}

TEST(Pieces, StepsOfStagesWinOverTheOnesBehindThem) {
  class Staged : public Classifier {
   public:
    StepOutput validation_step(const Batch& batch, StepContext& context) override {
      calls.push_back("validation for " + std::string(stage_name(context.stage())));
      return training_step(batch, context);
    }
    StepOutput predict_step(const Batch& batch, StepContext&) override {
      calls.emplace_back("predict");
      return {torch::Tensor(), net->forward(batch.input.tensor()).softmax(1)};
    }
    std::vector<std::string> calls;
  } task;
  Trainer trainer(quiet(1_epochs));
  trainer.evaluate(task, data_of(clouds(4)), Stage::validation);
  trainer.evaluate(task, data_of(clouds(4)));
  const torch::Tensor probabilities = trainer.predict(task, data_of(clouds(6))).all().tensor();
  EXPECT_THAT(task.calls, ElementsAre("validation for val", "validation for test", "predict", "predict"));
  EXPECT_TRUE(torch::allclose(probabilities.sum(1), torch::ones({6})));
}

TEST(Pieces, PredictionsComeAsTheyAreAskedFor) {
  Classifier task;
  Trainer trainer(quiet(1_epochs));
  int64_t samples = 0, batches = 0;
  for (const Tree& part : trainer.predict(task, data_of(clouds(10)))) {
    samples += part.tensor().size(0);
    ++batches;
    EXPECT_FALSE(task.net->is_training());
  }
  EXPECT_EQ(samples, 10);
  EXPECT_EQ(batches, 3);
  EXPECT_TRUE(task.net->is_training());
}

TEST(Pieces, ValidationWithinAnEpoch) {
  Classifier task;
  TrainerOptions options = quiet(2_epochs, {KeepBest()});
  options.validate_every = Duration::epochs(0.5);
  std::vector<int64_t> checks;
  options.callbacks.emplace_back(
      At(Moment::check, [&](Trainer& trainer, MomentInfo&) { checks.push_back(trainer.position().step); }));
  const History history = Trainer(options).fit(task, data_of(clouds(24)), data_of(clouds(8)));
  EXPECT_THAT(checks, ElementsAre(3, 6, 9, 12));
  ASSERT_EQ(history.epochs().size(), 4u);
  EXPECT_EQ(history.epochs()[0].part, 0.5);
  EXPECT_EQ(history.epochs()[2].progress(), 1.5);
  EXPECT_THAT(history.table(), HasSubstr("1.5"));

  TrainerOptions rarely = quiet(4_epochs);
  rarely.validate_every = 2_epochs;
  Classifier other;
  const auto losses = Trainer(rarely).fit(other, data_of(clouds(8)), data_of(clouds(8)))["val_loss"];
  EXPECT_TRUE(std::isnan(losses[0]) && std::isfinite(losses[1]) && std::isnan(losses[2]) && std::isfinite(losses[3]));
}

TEST(Pieces, LimitsAndShortRuns) {
  Classifier task;
  TrainerOptions options = quiet(3_epochs);
  options.fast_dev_run = 2;
  Trainer quick(options);
  EXPECT_EQ(quick.fit(task, data_of(clouds(40)), data_of(clouds(40))).epochs().size(), 1u);
  EXPECT_EQ(quick.position().step, 2);

  Classifier memorizing(1, optim::Adam({.lr = 0.05}), 0.0);
  TrainerOptions overfit = quiet(30_epochs);
  overfit.overfit_batches = 2;
  std::vector<torch::Tensor> seen;
  overfit.callbacks = {
      At(Moment::train_batch_begin, [&](Trainer&, MomentInfo& info) { seen.push_back(info.batch->indices.clone()); })};
  const History history = Trainer(overfit).fit(memorizing, data_of(clouds(40)));
  EXPECT_EQ(seen.size(), 60u);
  EXPECT_TRUE(torch::equal(seen[0], torch::arange(4)) && torch::equal(seen[59], torch::arange(4, 8)));
  EXPECT_EQ(history["val_acc"].back(), 1.0);

  Classifier timed;
  TrainerOptions short_time = quiet(100000_epochs);
  short_time.max_time = Duration::seconds(0.05);
  EXPECT_THAT(Trainer(short_time).fit(timed, data_of(clouds(8))).stop_reason(), HasSubstr("the time of"));
}

TEST(Pieces, AStopWaitsForTheLeastLength) {
  Classifier task;
  TrainerOptions options =
      quiet(9_epochs, {Hooks{.epoch_end = [](Trainer& trainer) { trainer.request_stop("enough"); }}});
  options.min_duration = 3_epochs;
  const History history = Trainer(options).fit(task, data_of(clouds(8)));
  EXPECT_EQ(history.epochs().size(), 3u);
  EXPECT_EQ(history.stop_reason(), "enough");
}

TEST(Pieces, AccumulationMayChangeByEpoch) {
  Classifier task;
  TrainerOptions options = quiet(3_epochs);
  options.accumulate = {{1, 1}, {2, 3}};
  std::vector<int64_t> steps;
  options.callbacks = {Hooks{.epoch_end = [&](Trainer& trainer) { steps.push_back(trainer.position().step); }}};
  Trainer(options).fit(task, data_of(clouds(20)));  // five batches
  EXPECT_THAT(steps, ElementsAre(5, 7, 9));
  EXPECT_EQ(Accumulation::parse("1:1,2:3").describe(), "1:1,2:3");
  EXPECT_THAT(error_of([] { return Accumulation::parse("1:0"); }).expected, HasSubstr("1 or more"));
}

TEST(Pieces, AnomalyDetectionNamesTheLayer) {
  class Broken : public Classifier {
   public:
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      const torch::Tensor hidden = net->in(batch.input.tensor());
      const torch::Tensor logits = net->out(context.stage() == Stage::train ? (hidden - hidden).log() : hidden);
      return torch::cross_entropy_loss(logits, batch.target.tensor());
    }
  } task;
  TrainerOptions options = quiet(1_epochs);
  options.detect_anomaly = true;
  const Error::Parts parts = error_of([&] { return Trainer(options).fit(task, data_of(clouds(8))); });
  EXPECT_EQ(parts.what, "NaN or infinity in a training step");
  EXPECT_THAT(parts.got, AllOf(HasSubstr("aten::log"), HasSubstr("after layer 'in'")));
  EXPECT_THAT(parts.where, HasSubstr("epoch 1, batch 1"));

  Broken stopped;
  EXPECT_THAT(Trainer(quiet(1_epochs)).fit(stopped, data_of(clouds(8))).stop_reason(),
              AllOf(HasSubstr("epoch 1, step 1"), HasSubstr("aten::log")));
}

TEST(Pieces, ADiagnosisLooksAtEverythingAndChangesNothing) {
  Classifier task;
  Trainer trainer(quiet(1_epochs, {KeepBest()}));
  const Tree before = weights_of(task);
  const Diagnosis good = trainer.diagnose(task, {.train = data_of(clouds(8)), .validation = {data_of(clouds(6))}});
  EXPECT_TRUE(good.good()) << good;
  EXPECT_THAT(good.text(),
              AllOf(HasSubstr("reach every parameter"), HasSubstr("val_loss"), HasSubstr("8 samples in 2 batches")));
  expect_same(before, weights_of(task));
  EXPECT_EQ(trainer.position().step, 0);

  class Forgetful : public Classifier {
   public:
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      if (context.stage() != Stage::train) return Classifier::training_step(batch, context);
      return torch::cross_entropy_loss(net->out(net->in(batch.input.tensor())), batch.target.tensor());
    }
  } forgetful;
  Trainer other(quiet(1_epochs, {KeepBest({.monitor = {.monitor = "val_f1"}})}));
  const Diagnosis bad = other.diagnose(forgetful, {.train = data_of(clouds(8)), .validation = {data_of(clouds(6))}});
  EXPECT_FALSE(bad.good());
  EXPECT_THAT(bad.text(), HasSubstr("none reaches norm.weight, norm.bias"));
}

TEST(Pieces, DeterministicModeIsPutBack) {
  Classifier task;
  bool during = false;
  TrainerOptions options = quiet(
      1_epochs, {Hooks{.epoch_begin = [&](Trainer&) { during = at::globalContext().deterministicAlgorithms(); }}});
  options.deterministic = true;
  Trainer(options).fit(task, data_of(clouds(8)));
  EXPECT_TRUE(during);
  EXPECT_FALSE(at::globalContext().deterministicAlgorithms());
}

}  // namespace
}  // namespace athanor::testing::pieces_test
