// SPDX-License-Identifier: Apache-2.0
// The same program started again with other options, data or threads: what may change is taken and named, the rest is
// refused with the differences.
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/callbacks/run_again.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::checkpoints_changes_test {
namespace {

namespace fs = std::filesystem;
using namespace athanor::literals;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

class ResumeWithChanges : public ResumeFromDisk {};

TEST_F(ResumeWithChanges, AnotherNetOptimizerOrDataSetIsRefusedWithTheDifferences) {
  fall_after(8, with_checkpoints(run, every_step));
  const TrainerOptions options = and_fall(with_checkpoints(run, every_step));
  {
    Classifier task(1, optim::SGD({.lr = 0.1, .momentum = 0.9}));
    const Tree before = weights_of(task);
    const Error::Parts parts = error_of([&] { train(options, task); });
    EXPECT_EQ(parts.what, "a saved state does not fit");
    EXPECT_THAT(parts.where, HasSubstr("epoch 2, batch 2, step 8"));
    EXPECT_THAT(parts.got, HasSubstr("momentum_buffer"));
    EXPECT_THAT(parts.todo, HasSubstr("initialise_from"));
    expect_same(before, weights_of(task));
  }
  {
    const auto net = std::make_shared<torch::nn::LinearImpl>(4, 3);
    Tailored task(
        {{"net", net}},
        [net](const Batch& batch, StepContext&) {
          return StepOutput(torch::cross_entropy_loss(net->forward(batch.input.tensor()), batch.target.tensor()));
        },
        [net] { return Optimizers(optim::Adam({.lr = 0.02}).on(torch::nn::Linear(net))); });
    const Error::Parts parts = error_of([&] { train(options, task); });
    EXPECT_THAT(parts.got, HasSubstr("unexpected: task.nets.in.weight"));
  }
  {
    Classifier task(1);
    const Error::Parts parts = error_of([&] { train(options, task, 23); });
    EXPECT_EQ(parts.what, "a checkpoint was made with other data");
    EXPECT_THAT(parts.got, HasSubstr("samples: 22 and 23"));
  }
  {
    Classifier task(1);
    TrainerOptions other = options;
    other.batch_size = 2;
    other.seed = 6;
    const Error::Parts parts = error_of([&] { train(other, task); });
    EXPECT_THAT(parts.got, AllOf(HasSubstr("batch_size: 4 and 2"), HasSubstr("seed: 5 and 6")));
  }
}

TEST_F(ResumeWithChanges, OtherTargetsAreOtherData) {
  train(with_checkpoints(run));
  Classifier task(1);
  Trainer trainer(with_checkpoints(run, {}, 4));
  Examples other = clouds(22);
  other.target = other.target.flip({0}).contiguous();
  const Error::Parts parts = error_of([&] { trainer.fit(task, data_of(other), data_of(clouds(10, 2))); });
  EXPECT_THAT(parts.got, HasSubstr("targets"));
}

TEST_F(ResumeWithChanges, AtTheEndOfAnEpochBatchSizeAndSeedMayChangeAndAreNamed) {
  train(with_checkpoints(run));
  TrainerOptions options = with_checkpoints(run, {}, 4);
  options.batch_size = 11;
  options.seed = 6;
  const Ended resumed = train(options, 99);
  EXPECT_EQ(resumed.history.last().steps, 20);
  EXPECT_THAT(resumed.messages->texts,
              Contains(AllOf(HasSubstr("batch_size 11 instead of 4"), HasSubstr("seed 6 instead of 5"))));
}

TEST_F(ResumeWithChanges, AChangedLearningRateIsTakenAndNamed) {
  train(with_checkpoints(run));
  Classifier task(99, optim::Adam({.lr = 0.005}));
  const Ended resumed = train(with_checkpoints(run, {}, 4), task);
  EXPECT_EQ(resumed.history["lr"], (std::vector<double>{0.02, 0.02, 0.02, 0.005}));
  EXPECT_THAT(resumed.messages->texts, Contains(HasSubstr("lr 0.005 instead of 0.02")));
}

class Scheduled : public Classifier {
 public:
  Scheduled(double lr, std::optional<Schedule> schedule) : lr_(lr), schedule_(std::move(schedule)) {}
  Optimizers configure_optimizers() override {
    return {
        NamedOptimizer{.name = "adam", .optimizer = optim::Adam({.lr = lr_}).on(parameters()), .schedule = schedule_}};
  }

 private:
  double lr_;
  std::optional<Schedule> schedule_;
};

// 18 steps at first, then 24: what a schedule makes of a time does not depend on what was there before.
TEST_F(ResumeWithChanges, AnotherScheduleIsTakenAndNamed) {
  const auto last_lr = [&](double lr, std::optional<Schedule> schedule) {
    fs::remove_all(run);
    Scheduled first(0.02, schedules::step(1_epochs, 0.5));
    train(with_checkpoints(run), first);
    Scheduled second(lr, std::move(schedule));
    Ended resumed = train(with_checkpoints(run, {}, 4), second);
    return std::pair(resumed.history["lr"].back(), resumed.messages->texts);
  };
  // Settings of a row are those of the update that is next.
  EXPECT_DOUBLE_EQ(last_lr(0.02, schedules::step(1_epochs, 0.1)).first, 0.02 * 1e-4);
  EXPECT_THAT(last_lr(0.02, schedules::step(1_epochs, 0.1)).second, Contains(HasSubstr("schedule ")));
  EXPECT_DOUBLE_EQ(last_lr(0.02, {}).first, 0.02);
  EXPECT_DOUBLE_EQ(last_lr(0.1, schedules::step(1_epochs, 0.5)).first, 0.1 * 0.0625);
  EXPECT_NEAR(last_lr(0.02, schedules::cosine()).first, 0, 1e-12);
  Scheduled none(0.02, {});
  fs::remove_all(run);
  train(with_checkpoints(run), none);
  Scheduled some(0.02, schedules::step(2_epochs, 0.5));
  EXPECT_DOUBLE_EQ(train(with_checkpoints(run, {}, 4), some).history["lr"].back(), 0.02 * 0.25);
}

TEST_F(ResumeWithChanges, AnotherThreadCountIsAllowedAndSaid) {
  TrainerOptions options = with_checkpoints(run);
  options.host.threads = 1;
  train(options);
  options = with_checkpoints(run, {}, 4);
  options.host.threads = 2;
  const Ended resumed = train(options, 99);
  EXPECT_THAT(resumed.messages->warnings,
              Contains(AllOf(HasSubstr("not equal to the last bit"), HasSubstr("2 instead of 1 threads"))));
}

}  // namespace
}  // namespace athanor::testing::checkpoints_changes_test
