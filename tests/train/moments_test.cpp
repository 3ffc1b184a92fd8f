// SPDX-License-Identifier: Apache-2.0
// The moments of a run: their order, what hooks see and may do.
#include "athanor/callbacks/early_stopping.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::moments_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Writes down every moment.
struct Recorder {
  static constexpr bool several = true;
  std::vector<std::string>* calls;
  std::string mark = {};
  [[nodiscard]] bool watches(Moment) const { return true; }
  void on(Trainer&, MomentInfo& info) const { calls->push_back(mark + std::string(hook_name(info.moment).substr(3))); }
};

std::vector<std::string> validation_pass(int batches) {
  std::vector<std::string> calls{"validation_begin"};
  for (int i = 0; i < batches; ++i) {
    calls.emplace_back("validation_batch_begin");
    calls.emplace_back("validation_batch_end");
  }
  calls.emplace_back("validation_end");
  return calls;
}

TEST(Moments, ComeInTheDocumentedOrder) {
  std::vector<std::string> calls;
  Classifier task;
  Trainer trainer(quiet(1_epochs, {Recorder{&calls}}));
  trainer.fit(task, data_of(clouds(7)), data_of(clouds(5)));
  std::vector<std::string> expected{"fit_begin", "epoch_begin", "train_begin"};
  for (int step = 0; step < 2; ++step) {
    for (const char* call : {"train_batch_begin", "forward_begin", "forward_end", "backward_begin", "backward_end",
                             "optimizer_begin", "optimizer_end", "train_batch_end", "step_end"}) {
      expected.emplace_back(call);
    }
  }
  expected.emplace_back("train_end");
  expected.emplace_back("check_begin");
  for (const auto& call : validation_pass(2)) expected.push_back(call);
  for (const char* call : {"check", "check_end", "epoch_end", "fit_closing", "fit_end"}) expected.emplace_back(call);
  EXPECT_EQ(calls, expected);

  calls.clear();
  trainer.evaluate(task, data_of(clouds(3)));
  EXPECT_THAT(calls, ElementsAre("test_begin", "test_batch_begin", "test_batch_end", "test_end"));
  calls.clear();
  EXPECT_EQ(trainer.predict(task, data_of(clouds(3))).all().tensor().size(0), 3);
  EXPECT_THAT(calls, ElementsAre("predict_begin", "predict_batch_begin", "predict_batch_end", "predict_end"));
  calls.clear();
  const Tree saved = trainer.save_state();
  trainer.load_state(task, saved);
  EXPECT_THAT(calls, ElementsAre("save", "load"));
}

TEST(Moments, AccumulationAndSeveralOptimizersRepeatForwardAndBackwardOnly) {
  std::vector<std::string> calls;
  Classifier task;
  TrainerOptions options = quiet(1_epochs, {Recorder{&calls}});
  options.accumulate = 2;
  Trainer(options).fit(task, data_of(clouds(8)));
  EXPECT_THAT(calls, ElementsAre("fit_begin", "epoch_begin", "train_begin", "train_batch_begin", "train_batch_begin",
                                 "forward_begin", "forward_end", "backward_begin", "backward_end", "forward_begin",
                                 "forward_end", "backward_begin", "backward_end", "optimizer_begin", "optimizer_end",
                                 "train_batch_end", "step_end", "train_end", "check_begin", "check", "check_end",
                                 "epoch_end", "fit_closing", "fit_end"));
}

// DeepEpochs calls its "after" hooks in reverse and says otherwise.
TEST(Moments, HookOrderIsThatOfTheListAtEveryMoment) {
  std::vector<std::string> calls;
  Classifier task;
  Trainer(quiet(1_steps, {Recorder{&calls, "a "}, Recorder{&calls, "b "}})).fit(task, data_of(clouds(4)));
  ASSERT_EQ(calls.size() % 2, 0u);
  for (size_t i = 0; i < calls.size(); i += 2) {
    EXPECT_EQ(calls[i].substr(0, 2), "a ");
    EXPECT_EQ(calls[i + 1], "b " + calls[i].substr(2));
  }
}

TEST(Moments, AHookMayVetoAStep) {
  struct Veto {
    int64_t steps = 0;
    void on_optimizer_begin(Trainer& trainer, MomentInfo& info) const { info.veto = trainer.position().step >= steps; }
  };
  Classifier task;
  Tree after_two;
  Trainer trainer(quiet(1_epochs, {Veto{2}, Hooks{.step_end = [&](Trainer& running) {
                                     if (running.position().step == 2) after_two = weights_of(running.task());
                                   }}}));
  trainer.fit(task, data_of(clouds(20)));
  const auto parameters = [](const Tree& weights) { return weights["in.weight"].tensor(); };
  EXPECT_EQ(trainer.position().step, 5);
  EXPECT_TRUE(torch::equal(parameters(after_two), parameters(weights_of(task))));
}

TEST(Moments, AHookMayChangeABatchAndALearningRate) {
  struct Blank {
    void on_train_batch_begin(Trainer&, MomentInfo& info) const {
      info.batch->input = Tree(torch::zeros_like(info.batch->input.tensor()));
    }
    void on_epoch_begin(Trainer& trainer) const { trainer.optimizers().front().optimizer->set_lr(0, 0.5); }
  };
  std::vector<double> sums;
  torch::nn::Linear net(4, 3);
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext& context) {
        if (context.stage() == Stage::train) sums.push_back(batch.input.tensor().abs().sum().item<double>());
        return torch::cross_entropy_loss(net(batch.input.tensor()), batch.target.tensor());
      },
      [&] { return optim::SGD({.lr = 0.1}).on(net); });
  const History history = Trainer(quiet(1_epochs, {Blank{}})).fit(task, data_of(clouds(8)));
  EXPECT_THAT(sums, ElementsAre(0, 0));
  EXPECT_THAT(history["lr"], ElementsAre(0.5));
}

TEST(Moments, AnIntervalOfAnythingCallsAFunction) {
  std::vector<int64_t> steps, samples, halves;
  auto note = [](std::vector<int64_t>& into) {
    return [&into](Trainer& trainer) { into.push_back(trainer.position().step); };
  };
  Classifier task;
  Trainer(
      quiet(2_epochs, {every(3_steps, note(steps)), every(10_samples, note(samples)), every(0.5_epochs, note(halves))}))
      .fit(task, data_of(clouds(22)));  // batches of 4, 4, 4, 4, 4, 2
  EXPECT_THAT(steps, ElementsAre(3, 6, 9, 12));
  EXPECT_THAT(samples, ElementsAre(3, 5, 8, 11));  // 12, 20, 30, 42 samples
  EXPECT_THAT(halves, ElementsAre(3, 6, 9, 12));
  EXPECT_EQ(error_of([&] { return every(Duration::steps(0), note(steps)); }).what, "an interval of nothing");
}

TEST(Moments, AnExceptionIsToldAndArrives) {
  struct Thrower {
    void on_step_end(Trainer& trainer) const {
      if (trainer.position().step == 2) throw std::runtime_error("mine");
    }
  };
  std::string told;
  Classifier task;
  Trainer trainer(quiet(1_epochs, {Thrower{}, At(Moment::exception, [&](Trainer&, MomentInfo& info) {
                                     try {
                                       std::rethrow_exception(info.exception);
                                     } catch (const std::runtime_error& error) {
                                       told = error.what();
                                     }
                                   })}));
  EXPECT_THROW(trainer.fit(task, data_of(clouds(20))), std::runtime_error);
  EXPECT_EQ(told, "mine");
  EXPECT_EQ(trainer.position().step, 2);
}

TEST(Moments, TwoCallbacksOfOneKindAreRefused) {
  Classifier task;
  Trainer trainer(quiet(1_epochs, {EarlyStopping(), EarlyStopping()}));
  const Error::Parts parts = error_of([&] { return trainer.fit(task, data_of(clouds(8))); });
  EXPECT_EQ(parts.what, "two callbacks of one kind");
  EXPECT_THAT(parts.got, HasSubstr("EarlyStopping"));
  EXPECT_EQ(trainer.position().step, 0);
}

}  // namespace
}  // namespace athanor::testing::moments_test
