// SPDX-License-Identifier: Apache-2.0
// A loss or gradient that is not finite: what is done, and that the weights stay clean meanwhile.
#include <cmath>

#include "athanor/optim/sgd.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::non_finite_test {
namespace {

using namespace athanor::literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

enum class Bad { input, gradient_only };

/// With BatchNorm, whose buffers a bad batch reaches too. Sample 13 is bad.
class Fragile : public Classifier {
 public:
  explicit Fragile(Bad bad) : Classifier(1, optim::Adam({.lr = 0.02}), 0.0), bad_(bad) {}
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    const bool hit = context.stage() == Stage::train && armed && (batch.indices == 13).any().item<bool>();
    torch::Tensor input = batch.input.tensor();
    if (hit && bad_ == Bad::input) input = input * NAN;
    const torch::Tensor logits = net->forward(input);
    torch::Tensor loss = torch::cross_entropy_loss(logits, batch.target.tensor());
    // A finite value whose derivative is infinite.
    if (hit && bad_ == Bad::gradient_only) loss = loss + (net->out->bias - net->out->bias.detach()).abs().sum().sqrt();
    return {loss, logits};
  }
  bool armed = true;

 private:
  Bad bad_;
};

bool all_finite(const Task& task) {
  for (const auto& [name, tensor] : named_tensors(task.nets())) {
    if (!tensor.isfinite().all().item<bool>()) return false;
  }
  return true;
}

struct Messages : Listener {
  std::vector<std::string> texts;
  void on_message(const events::Message& message) override { texts.push_back(message.text); }
};

TrainerOptions options_of(NonFinite policy, std::shared_ptr<Messages> messages = {}) {
  TrainerOptions options = quiet(2_epochs);
  options.shuffle = false;
  options.non_finite.policy = policy;
  if (messages) options.track = {messages};
  return options;
}

class NonFiniteTest : public ::testing::TestWithParam<Bad> {};

TEST_P(NonFiniteTest, StopEndsTheRunWithTheWeightsBeforeTheStep) {
  Fragile task(GetParam());
  Tree before;
  TrainerOptions options = options_of(NonFinite::stop);
  options.callbacks = {Hooks{.step_end = [&](Trainer& running) {
    if (running.position().step == 3) before = weights_of(task);
  }}};
  Trainer trainer(options);
  const History history = trainer.fit(task, data_of(clouds(22)));  // sample 13 lies in the fourth batch of four
  EXPECT_THAT(history.stop_reason(), AllOf(HasSubstr("not finite in epoch 1, step 4"), HasSubstr("12, 13, 14, 15"),
                                           HasSubstr("weights are those before")));
  EXPECT_TRUE(all_finite(task));
  expect_same(before, weights_of(task));
  EXPECT_EQ(trainer.position().step, 4);
}

TEST_P(NonFiniteTest, SkipLeavesTheStepOutAndItsLossOutOfTheMeans) {
  const auto messages = std::make_shared<Messages>();
  Fragile task(GetParam());
  const History history = Trainer(options_of(NonFinite::skip, messages)).fit(task, data_of(clouds(22)));
  EXPECT_EQ(history.epochs().size(), 2u);
  EXPECT_TRUE(std::isfinite(history["train_loss"].back()));
  EXPECT_TRUE(all_finite(task));
  EXPECT_THAT(messages->texts, ::testing::ElementsAre(HasSubstr("epoch 1, step 4"), HasSubstr("epoch 2, step 10")));
}

TEST_P(NonFiniteTest, SkippingEqualsARunThatNeverSawTheBatch) {
  Fragile task(GetParam());
  Trainer(options_of(NonFinite::skip)).fit(task, data_of(clouds(22)));

  Fragile other(GetParam());
  other.armed = false;
  TrainerOptions options = options_of(NonFinite::skip);
  struct Without {
    void on_optimizer_begin(Trainer& trainer, MomentInfo& info) const {
      info.veto = trainer.position().step == 3 || trainer.position().step == 9;
    }
    Tree kept = {};
    void on_train_batch_begin(Trainer& trainer) { kept = weights_of(trainer.task()); }
    void on_step_end(Trainer& trainer) const {  // the buffers of BatchNorm, which a veto does not put back
      if (trainer.position().step != 4 && trainer.position().step != 10) return;
      NetsState nets(trainer.task().nets());
      load_state(nets, kept);
    }
  };
  options.callbacks = {Without{}};
  Trainer(options).fit(other, data_of(clouds(22)));
  expect_same(weights_of(task), weights_of(other));
}

TEST_P(NonFiniteTest, RollBackGoesToTheLastGoodStateAndLeavesTheBatchOut) {
  const auto messages = std::make_shared<Messages>();
  Fragile task(GetParam());
  TrainerOptions options = options_of(NonFinite::roll_back, messages);
  options.non_finite.keep_every = 2_steps;
  std::vector<int64_t> steps;
  options.callbacks = {Hooks{.step_end = [&](Trainer& running) { steps.push_back(running.position().step); }}};
  Trainer trainer(options);
  const History history = trainer.fit(task, data_of(clouds(22)));
  EXPECT_EQ(history.epochs().size(), 2u);
  EXPECT_TRUE(all_finite(task));
  EXPECT_THAT(messages->texts,
              ::testing::ElementsAre(AllOf(HasSubstr("epoch 1, step 4"), HasSubstr("back to step 2")),
                                     AllOf(HasSubstr("epoch 2, step 10"), HasSubstr("back to step 8"))));
  // Steps 3 and 9 were made again, 4 and 10 were left out.
  EXPECT_THAT(steps, ::testing::ElementsAre(1, 2, 3, 3, 5, 6, 7, 8, 9, 9, 11, 12));
}

TEST_P(NonFiniteTest, TooManyEndTheRun) {
  Fragile task(GetParam());
  TrainerOptions options = options_of(NonFinite::skip);
  options.max_duration = 9_epochs;
  options.non_finite.at_most = 2;
  const History history = Trainer(options).fit(task, data_of(clouds(22)));
  EXPECT_THAT(history.stop_reason(), HasSubstr("epoch 3, step 16"));
  EXPECT_TRUE(all_finite(task));
}

TEST_P(NonFiniteTest, IgnoreLetsItSpread) {
  Fragile task(GetParam());
  // Without the accuracy, which refuses scores that are NaN.
  Trainer(options_of(NonFinite::ignore)).fit(task, Feeds{.train = Feed(data_of(clouds(22)), {.metrics = Metrics{}})});
  EXPECT_FALSE(all_finite(task));
}

INSTANTIATE_TEST_SUITE_P(Of, NonFiniteTest, ::testing::Values(Bad::input, Bad::gradient_only), [](const auto& info) {
  return std::string(info.param == Bad::input ? "TheLoss" : "AGradientOnly");
});

}  // namespace
}  // namespace athanor::testing::non_finite_test
