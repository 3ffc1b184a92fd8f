// SPDX-License-Identifier: Apache-2.0
// The faults of other trainers, each by its name: what must not happen here.
#include <cmath>

#include "athanor/callbacks/early_stopping.hpp"
#include "athanor/callbacks/keep_best.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::defects_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Logs whatever the test wants as a value of validation.
class Scripted : public Classifier {
 public:
  explicit Scripted(std::vector<double> scores) : scores_(std::move(scores)) {}
  StepOutput validation_step(const Batch&, StepContext& context) override {
    context.log("score", scores_.at(static_cast<size_t>(std::max<int64_t>(context.epoch(), 1) - 1)));
    return {};
  }

 private:
  std::vector<double> scores_;
};

TEST(Defects, NaNAsBest) {
  Scripted task({0.5, NAN, 0.4, NAN, 0.6});
  const auto keep = std::make_shared<KeepBest>(
      KeepBestOptions{.monitor = {.monitor = "val_score", .mode = Mode::max}, .restore = RestoreBest::never});
  const History history = Trainer(quiet(5_epochs, {keep})).fit(task, data_of(clouds(8)), data_of(clouds(4)));
  EXPECT_EQ(history.best()->epoch, 5);
  EXPECT_EQ(history.best()->value, 0.6);

  Scripted falling({0.5, NAN, 0.4});
  const History other = Trainer(quiet(3_epochs, {KeepBest({.monitor = {.monitor = "val_score", .mode = Mode::max}})}))
                            .fit(falling, data_of(clouds(8)), data_of(clouds(4)));
  EXPECT_EQ(other.best()->epoch, 1);
}

TEST(Defects, UnweightedMeans) {
  // 7 samples in batches of 4 and 3: the loss of a sample is its number.
  torch::nn::Linear net(1, 1);
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext&) {
        return batch.input.tensor().mean() + 0 * net(batch.input.tensor()).sum();
      },
      [&] { return optim::SGD({.lr = 0}).on(net); });
  TrainerOptions options = quiet(1_epochs);
  options.shuffle = false;
  const torch::Tensor numbers = torch::arange(7, torch::kFloat).unsqueeze(1);
  const History history = Trainer(options).fit(task, Data(numbers), Data(numbers));
  EXPECT_EQ(history["train_loss"].front(), 3.0);  // (0 + … + 6) / 7; the mean of means would be 3.25
  EXPECT_EQ(history["val_loss"].front(), 3.0);
}

TEST(Defects, ShortAccumulationWindow) {
  // Five batches in windows of four, gradient 1 each: Lightning and accelerate apply 1.0 and then 0.25.
  torch::nn::Linear net(torch::nn::LinearOptions(1, 1).bias(false));
  torch::nn::init::zeros_(net->weight);
  Tailored task(
      {{"net", net.ptr()}}, [&](const Batch& batch, StepContext&) { return net(batch.input.tensor()).mean(); },
      [&] { return optim::SGD({.lr = 1}).on(net); });
  std::vector<double> weights;
  TrainerOptions options =
      quiet(1_epochs, {Hooks{.step_end = [&](Trainer&) { weights.push_back(net->weight.item<double>()); }}});
  options.batch_size = 1;
  options.accumulate = 4;
  Trainer(options).fit(task, Data(torch::ones({5, 1})));
  EXPECT_THAT(weights, ElementsAre(-1.0, -2.0));
}

TEST(Defects, RaggedAccumulationWindow) {
  // Batches of 4, 4 and 2 in one window weigh by their samples: the gradient is that of the mean over all ten.
  torch::nn::Linear net(torch::nn::LinearOptions(1, 1).bias(false));
  torch::nn::init::zeros_(net->weight);
  Tailored task(
      {{"net", net.ptr()}}, [&](const Batch& batch, StepContext&) { return net(batch.input.tensor()).mean(); },
      [&] { return optim::SGD({.lr = 1}).on(net); });
  TrainerOptions options = quiet(1_epochs);
  options.accumulate = 3;
  options.shuffle = false;
  Trainer(options).fit(task, Data(torch::arange(10, torch::kFloat).unsqueeze(1)));
  EXPECT_FLOAT_EQ(net->weight.item<float>(), -4.5F);
}

TEST(Defects, ClippingAfterZeroing) {
  // DeepEpochs clips gradients that are gone. Here a clip of next to nothing leaves next to nothing.
  for (const Clip& clip : {Clip{.norm = 1e-9}, Clip{.value = 1e-9}}) {
    torch::nn::Linear net(4, 3);
    const Tree before = weights_of(net.ptr());
    Tailored task(
        {{"net", net.ptr()}},
        [&](const Batch& batch, StepContext&) {
          return torch::cross_entropy_loss(net(batch.input.tensor()), batch.target.tensor());
        },
        [&] { return optim::SGD({.lr = 1}).on(net); });
    TrainerOptions options = quiet(1_steps);
    options.clip = clip;
    Trainer(options).fit(task, data_of(clouds(8)));
    const double moved = (net->weight.detach() - before["weight"].tensor()).abs().max().item<double>();
    EXPECT_LT(moved, 1.1e-9);
  }
}

TEST(Defects, ReversedHookOrder) {
  std::vector<std::string> calls;
  auto noting = [&](const char* name) {
    return Hooks{.epoch_begin = [&calls, name](Trainer&) { calls.emplace_back(name); },
                 .epoch_end = [&calls, name](Trainer&) { calls.emplace_back(name); }};
  };
  Classifier task;
  Trainer(quiet(1_epochs, {noting("first"), noting("second")})).fit(task, data_of(clouds(4)));
  EXPECT_THAT(calls, ElementsAre("first", "second", "first", "second"));
}

TEST(Defects, LastLoaderWins) {
  Classifier task;
  const Examples many = clouds(12, 3), few = clouds(4, 4);
  TrainerOptions options = quiet(1_epochs);
  options.pool_validation = true;
  Trainer trainer(options);
  const History history = trainer.fit(
      task, {.train = data_of(clouds(8)), .validation = {data_of(many).named("many"), data_of(few).named("few")}});
  const double of_many = history["many_loss"].front();
  const double of_few = history["few_loss"].front();
  EXPECT_NE(of_many, of_few);
  EXPECT_NEAR(history["val_loss"].front(), (12 * of_many + 4 * of_few) / 16, 1e-9);
  EXPECT_NEAR(history["val_acc"].front(), (12 * history["many_acc"].front() + 4 * history["few_acc"].front()) / 16,
              1e-9);
  const Error::Parts parts = error_of([&] {
    Classifier again;
    return Trainer(quiet(1_epochs)).fit(again, {.train = data_of(many), .validation = {data_of(many), data_of(few)}});
  });
  EXPECT_EQ(parts.what, "two validation data have one name");
}

TEST(Defects, BatchNormTouchedByABaselinePass) {
  Classifier task;
  const Tree before = weights_of(task);
  Tree at_first_step;
  TrainerOptions options = quiet(1_epochs, {Hooks{.epoch_begin = [&](Trainer&) { at_first_step = weights_of(task); }}});
  options.validate_first = true;
  const History history = Trainer(options).fit(task, data_of(clouds(8)), data_of(clouds(6)));
  expect_same(before, at_first_step);
  ASSERT_EQ(history.epochs().size(), 2u);
  EXPECT_EQ(history.epochs().front().number, 0);
  EXPECT_EQ(history.epochs().front().steps, 0);
  EXPECT_TRUE(history.epochs().front().values.find("val_loss").has_value());
}

TEST(Defects, EvalModeForgotten) {
  Classifier task;
  std::vector<bool> modes;
  task.net->drop->eval();  // frozen by its owner
  TrainerOptions options = quiet(
      2_epochs,
      {At(Moment::validation_batch_begin,
          [&](Trainer&, MomentInfo&) { modes.push_back(task.net->is_training() || task.net->norm->is_training()); }),
       At(Moment::forward_begin, [&](Trainer&, MomentInfo&) {
         modes.push_back(!task.net->norm->is_training());
         modes.push_back(task.net->drop->is_training());
       })});
  Trainer(options).fit(task, data_of(clouds(8)), data_of(clouds(4)));
  EXPECT_THAT(modes, ::testing::Each(false));
  EXPECT_EQ(modes.size(), 10u);
}

TEST(Defects, MonitorFoundMissingAfterAnEpoch) {
  Classifier task;
  Trainer trainer(quiet(3_epochs, {EarlyStopping({.monitor = {.monitor = "val_los"}})}));
  const Tree before = weights_of(task);
  const Error::Parts parts = error_of([&] { return trainer.fit(task, data_of(clouds(8)), data_of(clouds(4))); });
  EXPECT_EQ(trainer.position().step, 0);
  EXPECT_THAT(parts.todo, HasSubstr("val_loss"));
  expect_same(before, weights_of(task));
}

}  // namespace
}  // namespace athanor::testing::defects_test
