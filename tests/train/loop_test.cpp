// SPDX-License-Identifier: Apache-2.0
// The loop: when hooks are called, how long it runs, how it stops and goes on, and what the values of an epoch are.
#include <chrono>
#include <thread>

#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::loop_test {
namespace {

using namespace athanor::literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

std::string at(const char* hook, const Trainer& trainer) {
  return hook + std::to_string(trainer.position().epoch) + "." + std::to_string(trainer.position().step);
}

Hooks recorder(std::vector<std::string>& calls, const std::string& mark = "") {
  auto record = [&calls, mark](const char* hook) {
    return [&calls, mark, hook](Trainer& trainer) { calls.push_back(mark + at(hook, trainer)); };
  };
  return {record("fit begin "), record("epoch begin "), record("step "), record("epoch end "), record("fit end ")};
}

TEST(Loop, CallsTheHooksInTheOrderOfTimeAndOfTheList) {
  std::vector<std::string> calls;
  Classifier task;
  Trainer(quiet(2_epochs, {recorder(calls)})).fit(task, data_of(clouds(7)), data_of(clouds(4)));
  EXPECT_THAT(calls, ElementsAre("fit begin 0.0", "epoch begin 1.0", "step 1.1", "step 1.2", "epoch end 1.2",
                                 "epoch begin 2.2", "step 2.3", "step 2.4", "epoch end 2.4", "fit end 2.4"));
  calls.clear();
  Trainer(quiet(1_steps, {recorder(calls, "a "), recorder(calls, "b ")})).fit(task, data_of(clouds(3)));
  EXPECT_THAT(calls,
              ElementsAre("a fit begin 0.0", "b fit begin 0.0", "a epoch begin 1.0", "b epoch begin 1.0", "a step 1.1",
                          "b step 1.1", "a epoch end 1.1", "b epoch end 1.1", "a fit end 1.1", "b fit end 1.1"));
}

TEST(Loop, ValuesAndHistoryAreThereWhenAnEpochEnds) {
  Classifier task;
  std::vector<std::pair<double, double>> seen;
  Hooks hooks{.epoch_end = [&](Trainer& trainer) {
    seen.emplace_back(trainer.values()["val_loss"], trainer.history().last().values["val_loss"]);
  }};
  const History history = Trainer(quiet(2_epochs, {hooks})).fit(task, data_of(clouds(7)), data_of(clouds(4)));
  ASSERT_EQ(seen.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(seen[i].first, history["val_loss"][i]);
    EXPECT_EQ(seen[i].second, history["val_loss"][i]);
  }
  EXPECT_EQ(history.stop_reason(), "all 2 epochs done");
}

struct Length {
  const char* name;
  Duration duration;
  int64_t steps;
  int64_t samples;
  size_t rows;
};
class Durations : public ::testing::TestWithParam<Length> {};

// 14 samples: three batches of 4 and one of 2 an epoch.
TEST_P(Durations, EndTheRunInMidEpochToo) {
  Classifier task;
  Trainer trainer(quiet(GetParam().duration));
  const History history = trainer.fit(task, data_of(clouds(14)));
  EXPECT_EQ(trainer.position().step, GetParam().steps);
  EXPECT_EQ(trainer.position().samples, GetParam().samples);
  EXPECT_EQ(history.epochs().size(), GetParam().rows);
  EXPECT_EQ(history.last().steps, GetParam().steps);
  EXPECT_EQ(history.stop_reason(), "all " + GetParam().duration.describe() + " done");
}
INSTANTIATE_TEST_SUITE_P(Loop, Durations,
                         ::testing::Values(Length{"Epochs", 2_epochs, 8, 28, 2}, Length{"Steps", 6_steps, 6, 22, 2},
                                           Length{"StepsOfWholeEpochs", 8_steps, 8, 28, 2},
                                           Length{"OneStep", 1_steps, 1, 4, 1}, Length{"Samples", 15_samples, 5, 18, 2},
                                           Length{"PartOfAnEpoch", 1.5_epochs, 6, 22, 2}),
                         [](const auto& info) { return info.param.name; });

TEST(Loop, WallTimeEndsTheRun) {
  Classifier task;
  Hooks slow{.step_end = [](Trainer&) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }};
  Trainer trainer(quiet(std::chrono::milliseconds(250), {slow}));
  const History history = trainer.fit(task, data_of(clouds(4000)));
  EXPECT_GE(trainer.position().seconds, 0.25);
  EXPECT_LT(trainer.position().step, 1000);
  EXPECT_FALSE(trainer.position().epoch_done);
  EXPECT_EQ(history.epochs().size(), 1u);
}

TEST(Loop, AfterALimitInMidEpochTheNextFitGoesOnWithTheSameEpoch) {
  Classifier whole_task;
  Trainer whole(quiet(10_steps));
  whole.fit(whole_task, data_of(clouds(14)), data_of(clouds(6, 2)));

  Classifier task;
  Trainer trainer(quiet(5_steps));
  EXPECT_EQ(trainer.fit(task, data_of(clouds(14)), data_of(clouds(6, 2))).epochs().size(), 2u);
  EXPECT_EQ(trainer.position().batch, 1);
  const History history = trainer.fit(task, data_of(clouds(14)), data_of(clouds(6, 2)));
  EXPECT_EQ(history.epochs().size(), 3u);
  EXPECT_EQ(history.epochs()[1].steps, 8);
  expect_same(weights_of(whole_task), weights_of(task));
  for (const char* name : {"train_loss", "train_acc", "val_loss"}) EXPECT_EQ(history[name], whole.history()[name]);
}

TEST(Loop, TwoFitsOfTwoAndThreeEpochsEqualOneOfFiveBitForBit) {
  Classifier whole_task;
  Trainer whole(quiet(5_epochs));
  const History expected = whole.fit(whole_task, data_of(clouds(14)), data_of(clouds(6, 2)));

  Classifier task;
  Trainer trainer(quiet(2_epochs));
  trainer.fit(task, data_of(clouds(14)), data_of(clouds(6, 2)));
  trainer.set_options(quiet(3_epochs));
  const History history = trainer.fit(task, data_of(clouds(14)), data_of(clouds(6, 2)));
  std::vector<int64_t> numbers;
  for (const auto& epoch : history.epochs()) numbers.push_back(epoch.number);
  EXPECT_THAT(numbers, ElementsAre(1, 2, 3, 4, 5));
  for (const std::string& name : expected.names()) EXPECT_EQ(history[name], expected[name]) << name;
  expect_same(weights_of(whole_task), weights_of(task));
  expect_same(whole.save_state()["optimizer optimizer"], trainer.save_state()["optimizer optimizer"]);
}

TEST(Loop, ALoopOfOnesOwnWithUpdateEqualsFitBitForBit) {
  const Loader loader(Dataset(clouds(14).input, clouds(14).target), {.batch_size = 4, .shuffle = true, .seed = 0});
  Classifier fitted_task;
  Trainer fitted(quiet(3_epochs));
  const History expected = fitted.fit(fitted_task, loader, data_of(clouds(6, 2)));

  Classifier task;
  Trainer trainer(quiet(3_epochs));
  for (int64_t epoch = 1; epoch <= 3; ++epoch) {
    for (const Batch& batch : loader.epoch(epoch)) trainer.update(task, batch);
    const Values values = trainer.end_epoch(task, data_of(clouds(6, 2)));
    EXPECT_EQ(values.names(), expected.last().values.names());
    for (const auto& [name, value] : expected.epochs()[static_cast<size_t>(epoch - 1)].values) {
      EXPECT_EQ(values.find(name), std::optional(value)) << name;
    }
  }
  expect_same(weights_of(fitted_task), weights_of(task));
  EXPECT_EQ(trainer.history().epochs().size(), 3u);
}

TEST(Loop, DenormalsThatCountAsZeroChangeMomentsAndNoWeight) {
  // Feature 3 is there in the first sample only. Its first moments decay for 799 steps, to some 1e-40.
  Examples data = clouds(800);
  data.input.narrow(1, 3, 1).narrow(0, 1, 799).zero_();
  const Loader loader(Dataset(data.input, data.target), {.batch_size = 1});
  const auto train = [&](bool flush) {
    torch::manual_seed(1);
    torch::nn::Linear net(4, 3);
    Tailored task(
        {{"net", net.ptr()}},
        [&](const Batch& batch, StepContext&) {
          return torch::cross_entropy_loss(net(batch.input.tensor()), batch.target.tensor());
        },
        [&] { return optim::Adam({.lr = 0.02}).on(net); });
    TrainerOptions options = quiet(1_epochs);
    options.host.flush_denormals = flush;
    Trainer trainer(options);
    trainer.fit(task, loader);
    return std::pair{weights_of(task), trainer.save_state()["optimizer optimizer"]};
  };
  const auto [weights, moments] = train(true);
  const auto [weights_before, moments_before] = train(false);
  expect_same(weights, weights_before);
  expect_other(moments, moments_before);
}

TEST(Loop, TheOrderDependsOnTheSeedAndOnNothingThatWasDrawnBefore) {
  auto train = [](uint64_t seed, int64_t drawn) {
    Classifier task;
    torch::rand({drawn});
    TrainerOptions options = quiet(2_epochs);
    options.seed = seed;
    Trainer(options).fit(task, data_of(clouds(14)));
    return weights_of(task);
  };
  expect_same(train(1, 0), train(1, 100));
  expect_other(train(1, 0), train(2, 0));
}

TEST(Loop, FitLeavesTheHostsGeneratorAsItWas) {
  torch::manual_seed(123);
  const torch::Tensor expected = torch::rand({5});
  Classifier task;
  torch::manual_seed(123);
  Trainer trainer(quiet(1_epochs));
  trainer.fit(task, data_of(clouds(14)));
  trainer.evaluate(task, data_of(clouds(14)));
  EXPECT_TRUE(torch::equal(torch::rand({5}), expected));
}

TEST(Loop, AStopThatACallbackAsksForEndsItAfterTheRunningUpdate) {
  std::vector<std::string> calls;
  Classifier task;
  Hooks stopper{.step_end = [](Trainer& trainer) {
    if (trainer.position().step != 6) return;
    trainer.request_stop("enough");
    trainer.request_stop("a second reason");
  }};
  Trainer trainer(quiet(9_epochs, {stopper, recorder(calls)}));
  const History history = trainer.fit(task, data_of(clouds(14)));
  EXPECT_EQ(history.stop_reason(), "enough");
  EXPECT_EQ(history.epochs().size(), 1u);
  EXPECT_EQ(calls.back(), "fit end 2.6");
  EXPECT_THAT(calls, Contains("step 2.6"));
  EXPECT_THAT(calls, Not(Contains("epoch end 2.6")));

  trainer.set_options(quiet(1_epochs));
  const History finished = trainer.fit(task, data_of(clouds(14)));
  EXPECT_EQ(finished.epochs().size(), 2u);
  EXPECT_EQ(finished.last().steps, 8);
  Classifier undisturbed;
  Trainer(quiet(2_epochs)).fit(undisturbed, data_of(clouds(14)));
  expect_same(weights_of(undisturbed), weights_of(task));
}

TEST(Loop, AStopAtTheBeginningMakesNoStep) {
  Classifier task;
  const Tree before = weights_of(task);
  Hooks stopper{.fit_begin = [](Trainer& trainer) { trainer.request_stop("not today"); }};
  const History history = Trainer(quiet(2_epochs, {stopper})).fit(task, data_of(clouds(14)));
  EXPECT_TRUE(history.empty());
  EXPECT_EQ(history.stop_reason(), "not today");
  expect_same(before, weights_of(task));
}

TEST(Loop, AStopFromAnotherThread) {
  Classifier task;
  std::thread other;
  Hooks starter{.epoch_end = [&](Trainer& trainer) {
    if (trainer.position().epoch == 1) other = std::thread([&] { trainer.request_stop("from outside"); });
  }};
  const History history = Trainer(quiet(1000000_epochs, {starter})).fit(task, data_of(clouds(8)));
  other.join();
  EXPECT_EQ(history.stop_reason(), "from outside");
}

TEST(Loop, PassesAreCutOffAfterTheLimits) {
  Classifier task;
  TrainerOptions options = quiet(2_epochs);
  options.train_batches = 2;
  options.validation_batches = 1;
  options.shuffle = false;
  Trainer trainer(options);
  const Examples examples = clouds(14);
  const History history = trainer.fit(task, data_of(examples), data_of(examples));
  EXPECT_EQ(history.last().steps, 4);
  trainer.set_options(quiet(1_epochs));
  EXPECT_EQ(history.last().values["val_loss"],
            trainer.evaluate(task, {examples.input.slice(0, 0, 4), examples.target.slice(0, 0, 4)})["test_loss"]);
}

// The net is a constant, its loss is the mean of the batch: 1, 1, 1, 1 and 6 have the mean 2, the batches 1 and 6 3.5.
TEST(Loop, EpochMeansAreWeightedBySamplesUnlikeTorchkeras) {
  torch::nn::Linear net(1, 1);
  const torch::Tensor numbers = torch::tensor({1.0f, 1.0f, 1.0f, 1.0f, 6.0f}).unsqueeze(1);
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext& context) {
        const torch::Tensor mean = batch.input.tensor().mean();
        context.log("number", mean.item<double>());
        context.log("tensor", mean * 10);
        return StepOutput(net->weight.sum() * 0 + mean, batch.input);
      },
      [&] { return optim::SGD({.lr = 0.1}).on(net); });
  TrainerOptions options = quiet(2_epochs);
  options.shuffle = false;
  Trainer trainer(options);
  const History history = trainer.fit(task, Data(numbers), Data(numbers));
  for (const char* name : {"train_loss", "val_loss", "train_number", "val_number"}) {
    EXPECT_THAT(history[name], ElementsAre(2.0, 2.0)) << name;
  }
  EXPECT_THAT(history["train_tensor"], ElementsAre(20.0, 20.0));
  EXPECT_EQ(trainer.evaluate(task, Data(numbers))["test_loss"], 2.0);
}

TEST(Loop, ValuesBearTheNameOfTheirData) {
  Classifier task;
  Trainer trainer(quiet(1_epochs));
  const History history = trainer.fit(task, data_of(clouds(8)), data_of(clouds(4)).named("clean"));
  EXPECT_THAT(history.names(),
              ElementsAre("train_loss", "train_acc", "train_spread", "clean_loss", "clean_acc", "clean_spread"));
  EXPECT_THAT(trainer.evaluate(task, data_of(clouds(4)).named("noisy")).names(),
              ElementsAre("noisy_loss", "noisy_acc", "noisy_spread"));
  EXPECT_THAT(trainer.evaluate(task, data_of(clouds(4))).names(), Contains("test_loss"));
  EXPECT_EQ(error_of([&] { trainer.fit(task, data_of(clouds(8)), data_of(clouds(4)).named("train")); }).what,
            "validation data can't be called 'train'");
}

struct Witness : Listener {
  std::vector<std::string> told;
  void on_run_begin(const events::RunBegin& run) override { told.push_back(run.resumed ? "resumed" : "begin"); }
  void on_epoch_end(const events::EpochEnd& end) override { told.push_back(std::to_string(end.epoch.number)); }
  void on_message(const events::Message& message) override { told.push_back(message.text); }
  void on_run_end(const events::RunEnd&) override { told.emplace_back("end"); }
};

TEST(Loop, EvaluatingInACallbackLeavesTheRunAndItsListenersAlone) {
  auto witness = std::make_shared<Witness>();
  Classifier task;
  std::vector<double> tested;
  TrainerOptions options =
      quiet(2_epochs, {Hooks{.epoch_end = [&](Trainer& trainer) {
              tested.push_back(trainer.evaluate(trainer.task(), data_of(clouds(9, 3)))["test_loss"]);
              trainer.message("tested");
            }}});
  options.track = {witness};
  Trainer trainer(options);
  trainer.fit(task, data_of(clouds(14)));
  EXPECT_THAT(witness->told, ElementsAre("begin", "1", "tested", "2", "tested", "end"));
  EXPECT_EQ(tested.back(), trainer.evaluate(task, data_of(clouds(9, 3)))["test_loss"]);
  Classifier undisturbed;
  Trainer(quiet(2_epochs)).fit(undisturbed, data_of(clouds(14)));
  expect_same(weights_of(undisturbed), weights_of(task));
  trainer.fit(task, data_of(clouds(14)));
  EXPECT_EQ(witness->told[6], "resumed");
}

TEST(Loop, WhatAHookThrowsEndsTheRunAndTheNextFitGoesOn) {
  Classifier task;
  Trainer trainer(quiet(3_epochs, {Hooks{.step_end = [](Trainer& running) {
                          if (running.position().step == 3) throw std::runtime_error("out of coffee");
                        }}}));
  EXPECT_THROW(trainer.fit(task, data_of(clouds(8))), std::runtime_error);
  trainer.set_options(quiet(1_epochs));
  const History history = trainer.fit(task, data_of(clouds(8)));
  EXPECT_EQ(history.last().number, 2);
  EXPECT_EQ(history.last().steps, 4);
}

TEST(Loop, AnotherTaskBeginsAnew) {
  Classifier first;
  Classifier second;
  Trainer trainer(quiet(2_epochs));
  trainer.fit(first, data_of(clouds(8)));
  const History history = trainer.fit(second, data_of(clouds(8)));
  EXPECT_EQ(history.epochs().size(), 2u);
  EXPECT_EQ(history.last().steps, 4);
  expect_same(weights_of(first), weights_of(second));
}

}  // namespace
}  // namespace athanor::testing::loop_test
