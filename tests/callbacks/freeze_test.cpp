// SPDX-License-Identifier: Apache-2.0
// Freezing, gradual unfreezing, learning rates by depth.
#include "athanor/callbacks/freeze.hpp"

#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::freeze_test {
namespace {

using namespace athanor::literals;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

/// Names of the tensors that differ.
std::vector<std::string> changed(const Tree& before, const Tree& after) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : before.entries()) {
    if (!tensor.tensor().equal(after[name].tensor())) names.push_back(name);
  }
  return names;
}

struct Observed {
  explicit Observed(FreezeOptions options, Duration length = 3_epochs,
                    optim::Recipe recipe = optim::Adam({.lr = 0.02, .weight_decay = 0.1}))
      : task(1, std::move(recipe)) {
    weights.push_back(weights_of(task));
    trainer.emplace(quiet(length, {Freeze(std::move(options)), Hooks{.step_end = [this](Trainer& running) {
                                     weights.push_back(weights_of(task));
                                     states.push_back(running.save_state());
                                     norm_modes.push_back(task.net->norm->is_training());
                                   }}}));
    trainer->fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  }
  Classifier task;
  std::optional<Trainer> trainer;
  std::vector<Tree> weights, states;
  std::vector<bool> norm_modes;
};

// Weight decay and momentum move a parameter without a gradient in trainers that only set the gradient to zero.
TEST(FreezeTest, WhatIsFrozenKeepsItsBits) {
  const Observed run({.patterns = {"in.*", "norm.*"}});
  EXPECT_THAT(changed(run.weights.front(), run.weights.back()), UnorderedElementsAre("out.weight", "out.bias"));
}

TEST(FreezeTest, FrozenBatchNormStaysInEvalModeAndOnlyThen) {
  const Observed frozen({.patterns = {"norm.*"}});
  for (const bool training : frozen.norm_modes) EXPECT_FALSE(training);
  const Observed weight_only({.patterns = {"norm.weight"}});
  for (const bool training : weight_only.norm_modes) EXPECT_TRUE(training);
  EXPECT_TRUE(frozen.task.net->norm->is_training());
  EXPECT_TRUE(frozen.task.net->norm->weight.requires_grad());
}

TEST(FreezeTest, LayersAreThawedWhenTheirTimeHasCome) {
  const Observed run({.patterns = {"in.*", "norm.*"}, .thaw = {{1_epochs, "norm.*"}, {2_epochs, "in.*"}}});
  ASSERT_EQ(run.weights.size(), 19);
  EXPECT_THAT(changed(run.weights[0], run.weights[6]), UnorderedElementsAre("out.weight", "out.bias"));
  EXPECT_THAT(changed(run.weights[6], run.weights[12]),
              UnorderedElementsAre("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
                                   "norm.num_batches_tracked", "out.weight", "out.bias"));
  EXPECT_EQ(changed(run.weights[12], run.weights[18]).size(), 9);
}

TEST(FreezeTest, AnInterruptedRunGoesOnToTheSameBits) {
  const FreezeOptions options{.patterns = {"in.*", "norm.*"}, .thaw = {{7_steps, "norm.*"}, {13_steps, "in.weight"}}};
  Observed run(options);
  const Tree end = run.trainer->save_state();
  for (const size_t at : {size_t{3}, size_t{8}, size_t{15}}) {
    Classifier task(9, optim::Adam({.lr = 0.02, .weight_decay = 0.1}));
    Trainer trainer(quiet(3_epochs, {Freeze(options), Hooks{}}));
    trainer.load_state(task, run.states[at]);
    trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
    expect_same(end, trainer.save_state());
  }
}

TEST(FreezeTest, OneOfSeveralOptimizersMayHaveFrozenParameters) {
  struct Two : Task {
    torch::nn::Linear a = register_net("a", torch::nn::Linear(4, 4)), b = register_net("b", torch::nn::Linear(4, 3));
    StepOutput training_step(const Batch& batch, StepContext&) override {
      return torch::cross_entropy_loss(b(a(batch.input.tensor())), batch.target.tensor());
    }
    Optimizers configure_optimizers() override {
      return {{.name = "first", .optimizer = optim::SGD({.lr = 0.1}).on(a)},
              {.name = "second", .optimizer = optim::SGD({.lr = 0.1}).on(b)}};
    }
  } task;
  const Tree before = weights_of(task);
  TrainerOptions options = quiet(1_epochs, {Freeze({.patterns = {"a.weight"}})});
  options.penalties = {{.pattern = "*", .l2 = 0.1}};
  Trainer(options).fit(task, data_of(clouds(8)));
  EXPECT_THAT(changed(before, weights_of(task)), UnorderedElementsAre("a.bias", "b.weight", "b.bias"));
}

TEST(FreezeTest, WrongPatternsAreNamedWithWhatIsThere) {
  const auto refused = [](FreezeOptions options) { return error_of([&] { return Observed(options).states.size(); }); };
  const Error::Parts none = refused({.patterns = {"im.weight"}});
  EXPECT_THAT(none.what, HasSubstr("fits no parameter"));
  EXPECT_THAT(none.expected, HasSubstr("in.weight, in.bias, norm.weight"));
  EXPECT_THAT(none.todo, HasSubstr("did you mean in.weight"));
  EXPECT_THAT(refused({.patterns = {"in.*"}, .thaw = {{1_epochs, "out.*"}}}).what, HasSubstr("thaws nothing"));
  EXPECT_THAT(refused({.patterns = {"in.*"}, .thaw = {{1_epochs, "in.*"}, {1_steps, "in.*"}}}).what,
              HasSubstr("can't be compared"));
  EXPECT_THAT(refused({.patterns = {"*"}}).what, HasSubstr("every parameter is frozen"));
}

TEST(FreezeTest, LearningRatesFallWithTheDistanceFromTheEnd) {
  const auto net = std::make_shared<Small>(1);
  const std::vector<GroupPattern> groups = learning_rates_by_depth(*net, 0.1, 0.5);
  ASSERT_EQ(groups.size(), 3);  // dropout has no parameters
  EXPECT_EQ(groups[0].pattern, "in.*");
  EXPECT_EQ(groups[0].options.lr, 0.025);
  EXPECT_EQ(groups[1].options.lr, 0.05);
  EXPECT_EQ(groups[2].pattern, "out.*");
  EXPECT_EQ(groups[2].options.lr, 0.1);
  EXPECT_EQ(learning_rates_by_depth(*net, 0.1, 0.5, "net.")[0].pattern, "net.in.*");
  EXPECT_EQ(optim::SGD().on(group_parameters(parameters_of(net), groups))->lr(2), 0.1);
  EXPECT_THAT(error_of([&] { return learning_rates_by_depth(*net, 0.1, 0); }).got, HasSubstr("decay 0"));
}

}  // namespace
}  // namespace athanor::testing::freeze_test
