// SPDX-License-Identifier: Apache-2.0
// Steps whose loss stands out are found, named and kept; ordinary noise is not.
#include "athanor/callbacks/loss_spikes.hpp"

#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::loss_spikes_test {
namespace {

using namespace athanor::literals;
using ::testing::HasSubstr;

/// Sample 33 is a thousand times as large as the others, and of another class.
Examples with_one_bad_sample() {
  Examples examples = clouds(60);
  examples.input[33] *= 1000;
  examples.target[33] = (examples.target[33] + 1).remainder(3);
  return examples;
}

struct Messages : Listener {
  std::vector<std::string> texts;
  void on_message(const events::Message& message) override { texts.push_back(message.text); }
};

TEST(LossSpikesTest, ABadSampleIsFoundAndNamed) {
  const auto spikes = std::make_shared<LossSpikes>();
  const auto messages = std::make_shared<Messages>();
  Classifier task(1, optim::SGD({.lr = 1e-6}), 0);
  task.net->norm->eval();
  TrainerOptions options = quiet(3_epochs, {spikes});
  options.track = {messages};
  Trainer(options).fit(task, data_of(with_one_bad_sample()));
  ASSERT_EQ(spikes->spikes().size(), 2);  // in the first epoch it comes before anything is usual
  for (size_t i = 0; i < 2; ++i) {
    const LossSpikes::Spike& spike = spikes->spikes()[i];
    EXPECT_EQ(spike.epoch, static_cast<int64_t>(i) + 2);
    EXPECT_GT(spike.loss, 10 * spike.usual);
    EXPECT_TRUE((spike.indices == 33).any().item<bool>());
    EXPECT_GE(spike.step, 15 * spike.epoch - 14);
    EXPECT_LE(spike.step, 15 * spike.epoch);
  }
  ASSERT_EQ(messages->texts.size(), 2);
  EXPECT_THAT(messages->texts[0], HasSubstr("in epoch 2 is"));
  EXPECT_THAT(messages->texts[0], HasSubstr("33"));
}

TEST(LossSpikesTest, AnInterruptedRunFindsTheSame) {
  const auto run = [](const Tree* from, int64_t save_at, Tree* saved) {
    const auto spikes = std::make_shared<LossSpikes>(LossSpikesOptions{.read_every = 20_steps});
    Classifier task(1, optim::SGD({.lr = 1e-6}), 0);
    task.net->norm->eval();
    Trainer trainer(quiet(3_epochs, {spikes, Hooks{.step_end = [&](Trainer& running) {
                                       if (saved != nullptr && running.position().step == save_at)
                                         *saved = running.save_state();
                                     }}}));
    if (from != nullptr) trainer.load_state(task, *from);
    trainer.fit(task, data_of(with_one_bad_sample()));
    std::vector<int64_t> steps;
    for (const auto& spike : spikes->spikes()) steps.push_back(spike.step);
    return steps;
  };
  Tree saved;
  const std::vector<int64_t> all = run(nullptr, 27, &saved);
  ASSERT_EQ(all.size(), 2);
  std::vector<int64_t> later;
  std::copy_if(all.begin(), all.end(), std::back_inserter(later), [](int64_t step) { return step > 20; });
  EXPECT_EQ(run(&saved, 0, nullptr), later);
}

TEST(LossSpikesTest, WrongOptionsAreRefused) {
  EXPECT_EQ(error_of([] { return LossSpikes({.window = 9}); }).where, "LossSpikesOptions::window");
  EXPECT_EQ(error_of([] { return LossSpikes({.deviations = 0}); }).where, "LossSpikesOptions::deviations");
  EXPECT_EQ(error_of([] { return LossSpikes({.read_every = 0_steps}); }).where, "LossSpikesOptions::read_every");
}

}  // namespace
}  // namespace athanor::testing::loss_spikes_test
