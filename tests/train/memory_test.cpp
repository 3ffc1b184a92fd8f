// SPDX-License-Identifier: Apache-2.0
// Out of memory inside a step: the batch is run again in halves, and the update stays what it would have been.
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::memory_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Has room for so many samples at a time. Neither BatchNorm nor dropout.
struct Tight {
  int64_t room;
  bool in_backward = false;
  torch::nn::Sequential net{torch::nn::Linear(4, 16), torch::nn::Tanh(), torch::nn::Linear(16, 3)};
  std::vector<int64_t> sizes = {};

  explicit Tight(int64_t room) : room(room) {
    torch::NoGradGuard no_grad;
    torch::manual_seed(2);
    for (torch::Tensor& parameter : net->parameters()) parameter.normal_(0, 0.3);
  }

  StepOutput step(const Batch& batch, StepContext& context) {
    if (context.stage() == Stage::train) sizes.push_back(batch.samples);
    if (batch.samples > room) TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate 2 GiB");
    const torch::Tensor logits = net->forward(batch.input.tensor());
    context.log("largest", logits.max(), {.reduce = Reduce::maximum});
    return {torch::cross_entropy_loss(logits, batch.target.tensor()), logits};
  }
  Tailored task() {
    return Tailored(
        {{"net", net.ptr()}}, [this](const Batch& batch, StepContext& context) { return step(batch, context); },
        [this] { return optim::SGD({.lr = 0.1, .momentum = 0.9}).on(net); });
  }
};

TrainerOptions options_of(int64_t batch_size) {
  TrainerOptions options = quiet(2_epochs);
  options.batch_size = batch_size;
  return options;
}

TEST(Memory, ABatchThatDoesNotFitIsRunInPartsAndTheResultStays) {
  Tight roomy(100), tight(3);
  auto whole = roomy.task();
  auto parts = tight.task();
  const History expected = Trainer(options_of(8)).fit(whole, data_of(clouds(20)));
  const History history = Trainer(options_of(8)).fit(parts, data_of(clouds(20)));
  // 8 samples fail, two halves of 4 fail at the first, four quarters of 2 fit; the last batch of 4 in quarters of 1.
  const std::vector<int64_t> begin(tight.sizes.begin(), tight.sizes.begin() + 14);
  EXPECT_THAT(begin, ElementsAre(8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1));
  // Sums of float32 in another order: 6 updates, each within a few units in the last place of numbers below 2.
  for (const auto& [name, tensor] : named_tensors(whole.nets())) {
    for (const auto& [other_name, other] : named_tensors(parts.nets())) {
      if (name != other_name) continue;
      EXPECT_LT((tensor - other).abs().max().item<double>(), 6 * 8 * 1.2e-7) << name;
    }
  }
  EXPECT_NEAR(history["train_loss"].back(), expected["train_loss"].back(), 1e-6);
  EXPECT_EQ(history.last().steps, expected.last().steps);
}

TEST(Memory, WhatAFailedAttemptLoggedLeavesNoTrace) {
  Tight tight(3);
  auto task = tight.task();
  int64_t counted = 0;
  TrainerOptions options = options_of(8);
  options.callbacks = {
      At(Moment::train_end, [&](Trainer& trainer, MomentInfo&) { counted = trainer.position().samples; })};
  Trainer(options).fit(task, data_of(clouds(20)));
  EXPECT_EQ(counted, 40);
}

TEST(Memory, ItIsSaidOnceForEachHalving) {
  struct Messages : Listener {
    std::vector<std::string> texts;
    void on_message(const events::Message& message) override { texts.push_back(message.text); }
  };
  const auto messages = std::make_shared<Messages>();
  Tight tight(3);
  auto task = tight.task();
  TrainerOptions options = options_of(8);
  options.track = {messages};
  Trainer(options).fit(task, data_of(clouds(20)));
  EXPECT_THAT(messages->texts,
              ElementsAre(HasSubstr("out of memory at step 1: from here on each batch is run in 2 parts"),
                          HasSubstr("in 4 parts; the effective batch stays the same")));
}

TEST(Memory, ASampleThatDoesNotFitAloneIsAnError) {
  Tight hopeless(0);
  auto task = hopeless.task();
  const Tree before = weights_of(task);
  EXPECT_THROW(Trainer(options_of(8)).fit(task, data_of(clouds(8))), std::exception);
  expect_same(before, weights_of(task));
  EXPECT_THAT(hopeless.sizes, ElementsAre(8, 4, 2, 1));
}

TEST(Memory, SplittingCanBeSwitchedOff) {
  Tight tight(3);
  auto task = tight.task();
  TrainerOptions options = options_of(8);
  options.split_when_out_of_memory = false;
  EXPECT_THROW(Trainer(options).fit(task, data_of(clouds(8))), std::exception);
  EXPECT_THAT(tight.sizes, ElementsAre(8));
}

}  // namespace
}  // namespace athanor::testing::memory_test
