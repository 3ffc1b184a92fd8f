// SPDX-License-Identifier: Apache-2.0
// The breakdown of a step's time: it adds up, and puts what is slow where it belongs.
#include "athanor/train/step_times.hpp"

#include <chrono>
#include <thread>

#include "athanor/callbacks/keep_best.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::step_times_test {
namespace {

using namespace athanor::literals;
using ::testing::HasSubstr;

void doze() { std::this_thread::sleep_for(std::chrono::milliseconds(4)); }

/// Sleeps in one place of each step.
struct Slow {
  StepPhase where;

  struct Net : Classifier {
    explicit Net(StepPhase where) : Classifier(1), where(where) {}
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      if (where == StepPhase::forward) doze();
      StepOutput output = Classifier::training_step(batch, context);
      if (where == StepPhase::backward && output.loss.requires_grad()) {
        output.loss.register_hook([](const torch::Tensor&) { doze(); });
      }
      return output;
    }
    StepOutput validation_step(const Batch& batch, StepContext& context) override {
      if (where == StepPhase::validation) doze();
      return Classifier::validation_step(batch, context);
    }
    StepPhase where;
  };
  struct Source {
    StepPhase where;
    Examples examples = clouds(20);
    [[nodiscard]] int64_t size() const { return 20; }
    [[nodiscard]] std::pair<torch::Tensor, torch::Tensor> get(int64_t index) const {
      if (where == StepPhase::data) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return {examples.input[index], examples.target[index]};
    }
  };
  struct Callback {
    StepPhase where;
    void on_step_end(Trainer&) const {
      if (where == StepPhase::callbacks) doze();
    }
    void on_optimizer_begin(Trainer&) const {
      if (where == StepPhase::optimizer) doze();
    }
  };
};

TEST(StepTimesTest, WhatIsSlowIsFoundWhereItIs) {
  for (const StepPhase where : {StepPhase::data, StepPhase::forward, StepPhase::backward, StepPhase::optimizer,
                                StepPhase::callbacks, StepPhase::validation}) {
    SCOPED_TRACE(name_of(where));
    Slow::Net task(where);
    Trainer trainer(quiet(4_epochs, {Slow::Callback{where}}));
    const auto begun = std::chrono::steady_clock::now();
    trainer.fit(task, Data(Slow::Source{where}), data_of(clouds(16)));
    const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    const StepTimes& times = trainer.step_times();
    EXPECT_EQ(times.steps(), 20);
    // 20 steps, or 16 batches, of 4 ms that are spent nowhere else.
    EXPECT_GE(times.seconds(where), 0.064);
    EXPECT_LE(times.total_seconds() - times.seconds(where), wall - 0.064);
    EXPECT_NEAR(times.samples_per_second() / times.steps_per_second(), 4, 1e-9);
  }
}

TEST(StepTimesTest, TheVerdictSaysWhatToDo) {
  const auto verdict = [](StepPhase where) {
    StepTimes times;
    times.begin();
    doze();
    times.lap(where);
    times.count_step(8);
    EXPECT_EQ(times.share(where), 1);
    EXPECT_THAT(times.describe(), HasSubstr(std::string(name_of(where))));
    return times.verdict();
  };
  EXPECT_EQ(verdict(StepPhase::data),
            "100 % of the time is waiting for data: give the loader workers, or cheaper samples");
  EXPECT_THAT(verdict(StepPhase::transfer), HasSubstr("keep the data on the device"));
  EXPECT_THAT(verdict(StepPhase::callbacks), HasSubstr("call them less often"));
  EXPECT_THAT(verdict(StepPhase::metrics), HasSubstr("leave them to validation"));
  EXPECT_THAT(verdict(StepPhase::logging), HasSubstr("log less often"));
  EXPECT_THAT(verdict(StepPhase::validation), HasSubstr("fewer batches"));
  EXPECT_THAT(verdict(StepPhase::saving), HasSubstr("save less often"));
  EXPECT_THAT(verdict(StepPhase::other), HasSubstr("outside of the steps"));
  EXPECT_EQ(verdict(StepPhase::forward), "100 % of the time is the net itself");
  EXPECT_THAT(verdict(StepPhase::optimizer), HasSubstr("the optimizer: larger batches"));
  EXPECT_EQ(StepTimes().verdict(), "no step was made yet");
}

TEST(StepTimesTest, WhatACallbackSavesIsSaving) {
  struct Saver {
    void on_epoch_end(Trainer& trainer) const {
      const StepTimes::Scope time(trainer.step_times(), StepPhase::saving, StepPhase::validation);
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
  };
  Classifier task;
  Trainer trainer(quiet(2_epochs, {Saver{}}));
  trainer.fit(task, data_of(clouds(8)));
  EXPECT_GE(trainer.step_times().seconds(StepPhase::saving), 0.06);
}

}  // namespace
}  // namespace athanor::testing::step_times_test
