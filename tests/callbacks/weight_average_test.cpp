// SPDX-License-Identifier: Apache-2.0
// EMA and SWA: the numbers are those of torch.optim.swa_utils, validation judges the average, and training does not
// notice.
#include "athanor/callbacks/weight_average.hpp"

#include <cstdlib>
#include <filesystem>

#include "athanor/callbacks/keep_best.hpp"
#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::weight_average_test {
namespace {

using namespace athanor::literals;
using ::testing::HasSubstr;

constexpr int64_t steps_per_epoch = 6;

/// Three epochs of six steps, with the weights after each of them.
struct Recorded {
  explicit Recorded(Callbacks callbacks, Duration length = 3_epochs, uint64_t seed = 1) : task(seed) {
    callbacks.emplace_back(Hooks{.step_end = [this](Trainer& trainer) {
      weights.push_back(weights_of(task));
      states.push_back(trainer.save_state());
    }});
    trainer.emplace(quiet(length, callbacks));
    history = trainer->fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  }
  Classifier task;
  std::optional<Trainer> trainer;
  std::vector<Tree> weights, states;
  History history;
};

TEST(WeightAverageTest, EqualsThatOfPython) {
  const auto ema = std::make_shared<Ema>(EmaOptions{.decay = 0.9, .use = {.at_end = false}});
  const Recorded run({ema});
  Recorded with_buffers({Ema({.decay = 0.9, .use = {.buffers = AveragedBuffers::averaged}})});
  Recorded swa({Swa({.start = 2_epochs, .use = {.buffers = AveragedBuffers::refreshed}})});

  std::string name = (std::filesystem::temp_directory_path() / "athanor-average-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(name.data());
  NamedTensors recorded{{"steps", torch::tensor(static_cast<int64_t>(run.weights.size()))}};
  for (size_t step = 0; step < run.weights.size(); ++step) {
    for (const auto& [key, tensor] : run.weights[step].entries())
      recorded.emplace_back(std::to_string(step + 1) + "." + key, tensor.tensor());
  }
  // The batches of the epoch in which the average is put in.
  std::vector<torch::Tensor> inputs;
  const Loader loader = data_of(clouds(22)).loader({.batch_size = 4, .shuffle = true});
  Pass pass = loader.epoch(3, 0, steps_per_epoch, quiet(1_epochs).seed);
  while (const Batch* batch = pass.next()) inputs.push_back(batch->input.tensor().clone());
  recorded.emplace_back("input", torch::cat(inputs));
  write_safetensors(folder / "run.safetensors", recorded);
  const std::string command =
      std::string(ATHANOR_TEST_PYTHON) + " " ATHANOR_SOURCE_DIR "/tests/callbacks/average_peer.py " + folder.string();
  if (std::system(command.c_str()) != 0) {
    std::filesystem::remove_all(folder);
    GTEST_SKIP() << "Python with torch and safetensors is not there";
  }
  const SafetensorsFile theirs(folder / "averages.safetensors");
  const auto expect_equal = [&](const NamedTensors& ours, const std::string& prefix, double tolerance) {
    for (const auto& [key, tensor] : ours) {
      if (!tensor.is_floating_point()) continue;  // Python averages counters and cuts the fraction off
      SCOPED_TRACE(prefix + key);
      const torch::Tensor other = theirs.tensor(prefix + key);
      EXPECT_LE((tensor.detach().to(torch::kDouble) - other.to(torch::kDouble)).abs().max().item<double>(), tolerance);
    }
  };
  // The same operator on the same numbers.
  ASSERT_EQ(ema->count(), 18);
  ASSERT_EQ(ema->tensors().size(), 6);
  expect_equal(ema->tensors(), "ema.", 0);
  expect_equal(named_tensors(with_buffers.task.nets()), "ema_buffers.", 0);
  NamedTensors parameters, statistics;
  for (const auto& [key, tensor] : named_tensors(swa.task.nets()))
    (key.find("running") == std::string::npos ? parameters : statistics).emplace_back(key, tensor);
  // Python adds a difference divided by the count: one rounding more, of weights below 1.
  expect_equal(parameters, "refreshed.", 6e-8);
  // Python's net has no dropout, which comes after BatchNorm. Six means of float32, each rounded: 6 x 2^-24 of numbers
  // below 16.
  ASSERT_EQ(statistics.size(), 2);
  expect_equal(statistics, "refreshed.", 16 * 6 * 6e-8);
  std::filesystem::remove_all(folder);
}

TEST(WeightAverageTest, TheLearningRateOfSwaFallsAsThatOfPython) {
  std::vector<double> rates;
  const Hooks record{
      .epoch_begin = [&](Trainer& trainer) { rates.push_back(trainer.optimizers()[0].optimizer->lr()); }};
  Classifier task(1, optim::SGD({.lr = 0.5}));
  Trainer trainer(quiet(8_epochs, {Swa({.start = 1_epochs, .lr = 0.05, .anneal = 4_epochs}), record}));
  trainer.fit(task, data_of(clouds(8)));
  // SWALR with anneal_epochs 4: base + (swa - base) (1 - cos(pi t / 4)) / 2.
  ASSERT_EQ(rates.size(), 8);
  EXPECT_EQ(rates[0], 0.5);
  for (int t = 0; t < 7; ++t) {
    const double alpha = (1 - std::cos(3.141592653589793 * std::min(t, 4) / 4)) / 2;
    EXPECT_NEAR(rates[static_cast<size_t>(t) + 1], 0.05 * alpha + 0.5 * (1 - alpha), 1e-15);
  }
}

TEST(WeightAverageTest, TrainingDoesNotNoticeThatTheAverageIsJudged) {
  const Recorded plain({});
  for (const AveragedBuffers buffers : {AveragedBuffers::live, AveragedBuffers::averaged, AveragedBuffers::refreshed}) {
    const Recorded averaged({Ema({.decay = 0.9, .use = {.buffers = buffers}})});
    ASSERT_EQ(plain.weights.size(), averaged.weights.size());
    for (size_t i = 0; i < plain.weights.size(); ++i) expect_same(plain.weights[i], averaged.weights[i]);
    expect_other(plain.weights.back(), weights_of(averaged.task));
    EXPECT_NE(plain.history["val_loss"], averaged.history["val_loss"]);
    EXPECT_EQ(plain.history["train_loss"], averaged.history["train_loss"]);
  }
}

TEST(WeightAverageTest, ValidationJudgesWhatIsInTheNetsAtTheEnd) {
  Recorded run({Ema({.decay = 0.5})});
  const double judged = run.history["val_loss"].back();
  const double found = run.trainer->evaluate(run.task, data_of(clouds(10, 2)), Stage::validation)["val_loss"];
  EXPECT_EQ(judged, found);
}

TEST(WeightAverageTest, KeepBestKeepsTheAverageAndHasTheLastWord) {
  Recorded run({Ema({.decay = 0.8}), KeepBest({.monitor = {.monitor = "val_loss"}})}, 12_epochs);
  const double best = run.history.best()->value;
  EXPECT_EQ(run.trainer->evaluate(run.task, data_of(clouds(10, 2)), Stage::validation)["val_loss"], best);
}

TEST(WeightAverageTest, AnInterruptedRunGoesOnToTheSameBits) {
  for (const bool swa : {false, true}) {
    const auto callback = [&]() -> Callback {
      if (swa) return Swa({.start = 7_steps, .every = 2_steps, .lr = 0.01, .anneal = 1_epochs});
      return Ema({.decay = 0.9, .warm_up = true, .every = 2_steps, .use = {.buffers = AveragedBuffers::averaged}});
    };
    Recorded run({callback()});
    const Tree end = run.trainer->save_state();
    for (const size_t at : {size_t{2}, size_t{9}, size_t{14}}) {
      Classifier task(7);
      Trainer trainer(quiet(3_epochs, {callback(), Hooks{}}));
      trainer.load_state(task, run.states[at]);
      const History history = trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
      expect_same(run.history, history);
      expect_same(end, trainer.save_state());
    }
  }
}

TEST(WeightAverageTest, AStateSavedWhileTheAverageIsInTheNetsGivesTheWeightsInTrainingBack) {
  struct AtCheck {
    std::vector<Tree>* states;
    void on_check(Trainer& trainer) const { states->push_back(trainer.save_state()); }
  };
  std::vector<Tree> states;
  Recorded run({Ema({.decay = 0.9}), AtCheck{&states}});
  ASSERT_EQ(states.size(), 3);
  Classifier task(7);
  std::vector<Tree> ignored;
  Trainer trainer(quiet(3_epochs, {Ema({.decay = 0.9}), AtCheck{&ignored}, Hooks{}}));
  trainer.load_state(task, states[0]);
  std::optional<Tree> first;
  trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  expect_same(weights_of(run.task), weights_of(task));
}

TEST(WeightAverageTest, AFailingValidationLeavesTheWeightsInTraining) {
  struct Thrown {
    void on_check(Trainer&) const { throw std::runtime_error("no"); }
  };
  Classifier task;
  Tree before;
  Trainer trainer(quiet(
      1_epochs, {Ema({.decay = 0.9}), Thrown{}, Hooks{.step_end = [&](Trainer&) { before = weights_of(task); }}}));
  EXPECT_THROW(trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2))), std::runtime_error);
  expect_same(before, weights_of(task));
}

TEST(WeightAverageTest, WrongOptionsAreRefused) {
  EXPECT_THAT(error_of([] { return Ema({.decay = 1}); }).expected, HasSubstr("from 0 to below 1"));
  EXPECT_THAT(error_of([] { return Ema({.every = 0_steps}); }).where, HasSubstr("EmaOptions::every"));
  EXPECT_THAT(error_of([] { return Swa({.lr = -1}); }).where, HasSubstr("SwaOptions::lr"));
  EXPECT_THAT(error_of([] {
                Recorded({Swa()}, Duration::seconds(1));
                return 0;
              }).todo,
              HasSubstr("say where averaging begins"));
  struct Scheduled : Classifier {
    Optimizers configure_optimizers() override {
      return {{.name = "adam", .optimizer = optim::Adam().on(net), .schedule = schedules::cosine()}};
    }
  };
  Scheduled task;
  Trainer trainer(quiet(1_epochs, {Swa({.lr = 0.1})}));
  EXPECT_THAT(error_of([&] { return trainer.fit(task, data_of(clouds(8))); }).what,
              HasSubstr("a schedule and SWA both want to set the learning rate"));
}

}  // namespace
}  // namespace athanor::testing::weight_average_test
