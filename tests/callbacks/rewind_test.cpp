// SPDX-License-Identifier: Apache-2.0
// Plateaus that go back to the best, and the soup of the last weights.
#include "athanor/callbacks/keep_best.hpp"
#include "athanor/callbacks/reduce_on_plateau.hpp"
#include "athanor/callbacks/weight_soup.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::rewind_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Its validation loss is what the list says.
struct Scored : Classifier {
  explicit Scored(std::vector<double> list) : Classifier(1, optim::Adam({.lr = 0.5})), list(std::move(list)) {}
  StepOutput validation_step(const Batch&, StepContext& context) override {
    const auto epoch = static_cast<size_t>(std::max<int64_t>(context.epoch(), 1));
    return torch::tensor(list.at(epoch - 1), torch::kDouble);
  }
  std::vector<double> list;
};

struct Seen {
  std::vector<double> rates;
  std::vector<Tree> weights, states;
  std::vector<std::string> messages;
  Hooks hooks(Task& task) {
    return {.epoch_begin =
                [this, &task](Trainer& trainer) {
                  rates.push_back(trainer.optimizers()[0].optimizer->lr());
                  weights.push_back(weights_of(task));
                },
            .step_end = [this](Trainer& trainer) { states.push_back(trainer.save_state()); }};
  }
};

// As torch's ReduceLROnPlateau with patience 1: the second bad check in a row reduces.
TEST(ReduceOnPlateauTest, ReducesAfterMoreThanPatienceChecks) {
  Scored task({5, 4, 4, 4, 4, 4, 3, 3, 3});
  Seen seen;
  Trainer trainer(quiet(9_epochs, {ReduceOnPlateau({.factor = 0.5, .patience = 1}), seen.hooks(task)}));
  trainer.fit(task, data_of(clouds(8)), data_of(clouds(4)));
  EXPECT_THAT(seen.rates, ElementsAre(0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.125));
}

TEST(ReduceOnPlateauTest, CooldownAndTheLeastRateHold) {
  Scored task({5, 5, 5, 5, 5, 5, 5, 5, 5});
  Seen seen;
  Trainer trainer(quiet(
      9_epochs, {ReduceOnPlateau({.factor = 0.1, .patience = 0, .cooldown = 2, .min_lr = 0.02}), seen.hooks(task)}));
  trainer.fit(task, data_of(clouds(8)), data_of(clouds(4)));
  EXPECT_THAT(seen.rates, ElementsAre(0.5, 0.5, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.02));
}

// Keras' callback keeps the rate only: the weights of the best epoch are lost to whoever wants to start over from them.
TEST(ReduceOnPlateauTest, APlateauDoesNotLoseItsBest) {
  for (const Rewind rewind : {Rewind::weights, Rewind::weights_and_optimizer}) {
    Scored task({5, 4, 6, 7, 8, 9});
    Seen seen;
    Tree best, best_optimizer, optimizer_after;
    Trainer trainer(quiet(6_epochs, {Hooks{.epoch_end =
                                               [&](Trainer& running) {
                                                 if (running.position().epoch != 2) return;
                                                 best = weights_of(task);
                                                 save_state(*running.optimizers()[0].optimizer, best_optimizer);
                                               }},
                                     ReduceOnPlateau({.factor = 0.5, .patience = 1, .rewind = rewind}),
                                     Hooks{.epoch_begin =
                                               [&](Trainer& running) {
                                                 if (running.position().epoch == 5)
                                                   save_state(*running.optimizers()[0].optimizer, optimizer_after);
                                               }},
                                     seen.hooks(task)}));
    trainer.fit(task, data_of(clouds(8)), data_of(clouds(4)));
    expect_same(best, seen.weights[4]);  // reduced at the check of epoch 4
    EXPECT_EQ(seen.rates[4], 0.25);
    EXPECT_EQ(compare_states(best_optimizer, optimizer_after).size() < 3, rewind == Rewind::weights_and_optimizer);
  }
}

TEST(ReduceOnPlateauTest, AnInterruptedRunGoesOnToTheSameBits) {
  const auto callbacks = [](Seen& seen, Task& task) -> Callbacks {
    return {ReduceOnPlateau({.factor = 0.5, .patience = 0, .rewind = Rewind::weights_and_optimizer}),
            WeightSoup({.last = 2}), seen.hooks(task)};
  };
  const std::vector<double> list{5, 4, 6, 3, 8, 9};
  Scored task(list);
  Seen seen;
  Trainer trainer(quiet(6_epochs, callbacks(seen, task)));
  const History history = trainer.fit(task, data_of(clouds(8)), data_of(clouds(4)));
  const Tree end = trainer.save_state();
  for (const size_t at : {size_t{1}, size_t{5}, size_t{8}}) {
    Scored again(list);
    Seen ignored;
    Trainer resumed(quiet(6_epochs, callbacks(ignored, again)));
    resumed.load_state(again, seen.states[at]);
    expect_same(history, resumed.fit(again, data_of(clouds(8)), data_of(clouds(4))));
    expect_same(end, resumed.save_state());
  }
}

TEST(ReduceOnPlateauTest, WrongUseIsRefused) {
  EXPECT_EQ(error_of([] { return ReduceOnPlateau({.factor = 1}); }).where, "ReduceOnPlateauOptions::factor");
  EXPECT_EQ(error_of([] { return ReduceOnPlateau({.patience = -1}); }).where, "ReduceOnPlateauOptions::patience");
  struct Scheduled : Classifier {
    Optimizers configure_optimizers() override {
      return {{.name = "adam", .optimizer = optim::Adam().on(net), .schedule = schedules::cosine()}};
    }
  } task;
  Trainer trainer(quiet(1_epochs, {ReduceOnPlateau()}));
  EXPECT_THAT(error_of([&] { return trainer.fit(task, data_of(clouds(8))); }).what,
              HasSubstr("a schedule and a plateau"));
}

TEST(WeightSoupTest, IsTheMeanOfTheLastChecks) {
  Classifier task;
  std::vector<Tree> at_check;
  Trainer trainer(quiet(5_epochs, {WeightSoup({.last = 3}),
                                   Hooks{.epoch_end = [&](Trainer&) { at_check.push_back(weights_of(task)); }}}));
  trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  ASSERT_EQ(at_check.size(), 5);
  for (const auto& [name, tensor] : named_tensors(task.nets())) {
    if (!tensor.is_floating_point()) continue;
    const auto term = [&](size_t i) { return at_check[i][name].tensor().to(torch::kDouble); };
    // Added in double and rounded once.
    EXPECT_TRUE(tensor.detach().equal(((term(2) + term(3) + term(4)) / 3).to(torch::kFloat))) << name;
  }
  EXPECT_EQ(error_of([] { return WeightSoup({.last = 0}); }).where, "WeightSoupOptions::last");
}

}  // namespace
}  // namespace athanor::testing::rewind_test
