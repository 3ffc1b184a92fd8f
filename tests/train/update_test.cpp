// SPDX-License-Identifier: Apache-2.0
// One update: equal to steps written by hand, over windows, with several optimizers, with closures, and what it
// refuses.
#include "athanor/train/update.hpp"

#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::update_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t seed = 11;

Batch batch_of(torch::Tensor input, torch::Tensor target = {}) {
  Batch batch;
  batch.samples = input.size(0);
  batch.input = std::move(input);
  if (target.defined()) batch.target = std::move(target);
  return batch;
}
Batch batch_of(const Examples& examples, int64_t first, int64_t last) {
  Batch batch = batch_of(examples.input.slice(0, first, last), examples.target.slice(0, first, last));
  batch.indices = torch::arange(first, last);
  return batch;
}

struct Kind {
  const char* name;
  std::function<optim::Recipe(const Small&)> recipe;
};

class OneStep : public ::testing::TestWithParam<Kind> {};

// The same forward pass, backward pass and step in plain LibTorch; only the key of the random numbers is Athanor's.
TEST_P(OneStep, EqualsAStepWrittenByHandBitForBit) {
  const Examples examples = clouds(40);
  Small by_hand(3);
  const std::shared_ptr<Optimizer> optimizer = GetParam().recipe(by_hand).on({{parameters_of(by_hand), {}}});
  for (int64_t step = 0; step < 25; ++step) {
    const Batch batch = batch_of(examples, step % 8 * 4, step % 8 * 4 + 5);
    seed_libtorch(mix({seed, static_cast<uint64_t>(step), 0, 0}));
    for (const torch::Tensor& parameter : by_hand.parameters()) parameter.mutable_grad() = torch::Tensor();
    torch::cross_entropy_loss(by_hand.forward(batch.input.tensor()), batch.target.tensor()).backward();
    optimizer->step();
  }

  auto net = std::make_shared<Small>(3);
  const optim::Recipe recipe = GetParam().recipe(*net);
  Tailored task(
      {{"net", net}},
      [&](const Batch& batch, StepContext&) {
        return torch::cross_entropy_loss(net->forward(batch.input.tensor()), batch.target.tensor());
      },
      [&] {
        return recipe.on({{parameters_of(*net), {}}});
      });
  TrainerOptions options = quiet(Duration::epochs(1));
  options.seed = seed;
  Trainer trainer(options);
  for (int64_t step = 0; step < 25; ++step) {
    trainer.update(task, batch_of(examples, step % 8 * 4, step % 8 * 4 + 5));
    if (step == 9) trainer.end_epoch(task);  // batches are counted anew, steps are not
  }
  EXPECT_EQ(trainer.position().step, 25);
  EXPECT_EQ(trainer.position().samples, 125);
  const std::shared_ptr<Small> copy(std::shared_ptr<void>(), &by_hand);
  expect_same(weights_of(copy), weights_of(task));
  expect_other(weights_of(std::make_shared<Small>(3)), weights_of(task));
}

template <class T, class O>
auto of_libtorch(O options) {
  return [options](const Small& net) -> optim::Recipe { return std::make_shared<T>(net.parameters(), options); };
}

INSTANTIATE_TEST_SUITE_P(
    Update, OneStep,
    ::testing::Values(
        Kind{"Adam", [](const Small&) -> optim::Recipe { return optim::Adam({.lr = 0.01}); }},
        Kind{"SGD", [](const Small&) -> optim::Recipe { return optim::SGD({.lr = 0.05, .momentum = 0.9}); }},
        Kind{"AdamOfLibTorch", of_libtorch<torch::optim::Adam>(torch::optim::AdamOptions(0.01))},
        Kind{"SGDOfLibTorch", of_libtorch<torch::optim::SGD>(torch::optim::SGDOptions(0.05).momentum(0.9))}),
    [](const auto& info) { return info.param.name; });

struct Line {
  torch::nn::Linear net{4, 3};
  Optimizers optimizers;
  Tailored task;
  Meter meter;
  Trainer trainer;

  UpdateResult update(std::vector<Batch> window) {
    StepContext context(Stage::train, 1, 0, 0);
    Update update(trainer, task, optimizers, meter, at::kCPU);
    update.configure({.seed = seed}, nullptr);
    return update.run(window, context);
  }

  Line()
      : task(
            {{"net", net.ptr()}},
            [this](const Batch& batch, StepContext&) {
              return torch::cross_entropy_loss(net(batch.input.tensor()), batch.target.tensor());
            },
            [] { return Optimizers(); }) {
    torch::NoGradGuard no_grad;
    net->weight.copy_(torch::arange(12).view({3, 4}) * 0.1);
    net->bias.zero_();
    optimizers = Optimizers(optim::SGD({.lr = 0.5}).on(net));
  }
};

// Sum of n_i / N times the mean over n_i samples is the mean over N, up to the rounding of the shares and the sums.
TEST(Update, AWindowOfRaggedMicroBatchesEqualsOneWholeBatch) {
  const Examples examples = clouds(9);
  Line whole;
  const UpdateResult expected = whole.update({batch_of(examples, 0, 9)});

  Line parts;
  const std::vector<Batch> window = {batch_of(examples, 0, 5), batch_of(examples, 5, 8), batch_of(examples, 8, 9)};
  const UpdateResult result = parts.update(window);

  EXPECT_EQ(result.samples, 9);
  EXPECT_FALSE(result.loss.requires_grad());
  EXPECT_NEAR(result.loss.item<double>(), expected.loss.item<double>(), 1e-6);
  EXPECT_TRUE(torch::allclose(parts.net->weight, whole.net->weight, 1e-5, 1e-6));
  EXPECT_NEAR(parts.meter.values()["loss"], whole.meter.values()["loss"], 1e-6);

  Line thirds;  // each micro-batch a third, as a loop that divides by the length of the window would do
  torch::Tensor mean;
  for (const Batch& batch : window) {
    const torch::Tensor loss = torch::cross_entropy_loss(thirds.net(batch.input.tensor()), batch.target.tensor()) / 3.0;
    mean = mean.defined() ? mean + loss : loss;
  }
  mean.backward();
  thirds.optimizers[0].optimizer->step();
  EXPECT_FALSE(torch::allclose(thirds.net->weight, whole.net->weight, 1e-3, 1e-3));
}

TEST(Update, TheSameUpdateRunAgainGivesTheSameBits) {
  Classifier task;
  Trainer trainer(quiet(Duration::epochs(1)));
  const Batch batch = batch_of(clouds(8), 0, 8);
  trainer.update(task, batch);
  const Tree before = trainer.save_state();
  trainer.update(task, batch);
  const Tree first = trainer.save_state();
  torch::rand({1000});
  trainer.load_state(task, before);
  trainer.update(task, batch);
  expect_same(first, trainer.save_state());
  trainer.update(task, batch);
  expect_other(first, trainer.save_state());
}

TEST(Update, EachOfSeveralOptimizersGetsTheGradientsOfItsOwnParameters) {
  struct Two {
    torch::nn::Linear generator{2, 2};
    torch::nn::Linear critic{2, 1};
    Two() {
      torch::NoGradGuard no_grad;
      for (auto& parameter : generator->parameters()) parameter.fill_(0.3);
      for (auto& parameter : critic->parameters()) parameter.fill_(-0.2);
    }
    torch::Tensor loss(const torch::Tensor& input, bool of_critic) {
      const torch::Tensor score = critic(generator(input)).pow(2).mean();
      return of_critic ? -score : score;
    }
  };
  const torch::Tensor input = torch::arange(8, torch::kFloat).view({4, 2}) / 8;

  Two by_hand;
  torch::optim::SGD generator(by_hand.generator->parameters(), 0.1);
  torch::optim::SGD critic(by_hand.critic->parameters(), 0.1);
  for (int step = 0; step < 5; ++step) {
    for (const bool of_critic : {false, true}) {
      if (of_critic && step % 2 != 0) continue;
      generator.zero_grad();
      critic.zero_grad();
      by_hand.loss(input, of_critic).backward();
      (of_critic ? critic : generator).step();
    }
  }

  Two trained;
  std::vector<std::string> asked;
  torch::Tensor seen;
  Tailored task(
      {{"generator", trained.generator.ptr()}, {"critic", trained.critic.ptr()}},
      [&](const Batch& batch, StepContext& context) {
        asked.push_back(std::to_string(context.step()) + std::string(context.optimizer()));
        if (context.optimizer() == "critic") seen = trained.generator->weight.grad().clone();
        return trained.loss(batch.input.tensor(), context.optimizer() == "critic");
      },
      [&]() -> Optimizers {
        auto sgd = [](const torch::nn::Module& net) {
          return optim::adopt(std::make_shared<torch::optim::SGD>(net.parameters(), 0.1));
        };
        return {{"generator", sgd(*trained.generator)}, {"critic", sgd(*trained.critic), 2}};
      });
  Trainer trainer(quiet(Duration::epochs(1)));
  for (int step = 0; step < 5; ++step) {
    trainer.update(task, batch_of(input));
    // The critic's backward pass has added nothing here.
    EXPECT_TRUE(step % 2 != 0 || torch::equal(seen, trained.generator->weight.grad()));
  }

  EXPECT_THAT(asked, ElementsAre("0generator", "0critic", "1generator", "2generator", "2critic", "3generator",
                                 "4generator", "4critic"));
  EXPECT_TRUE(torch::equal(trained.generator->weight, by_hand.generator->weight));
  EXPECT_TRUE(torch::equal(trained.critic->weight, by_hand.critic->weight));
}

TEST(Update, LBFGSEvaluatesSeveralTimesAndTheBatchCountsOnce) {
  torch::nn::Linear net(4, 1);
  const torch::Tensor input = clouds(30).input;
  const torch::Tensor target = input.sum(1, true) * 0.5 + 0.25;
  int evaluations = 0;
  double first_loss = 0;
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext&) {
        const torch::Tensor loss = torch::mse_loss(net(batch.input.tensor()), batch.target.tensor());
        if (evaluations++ == 0) first_loss = loss.item<double>();
        return loss;
      },
      [&] {
        return optim::adopt(std::make_shared<torch::optim::LBFGS>(
            net->parameters(), torch::optim::LBFGSOptions(1).max_iter(20).line_search_fn("strong_wolfe")));
      });
  Trainer trainer(quiet(Duration::epochs(1)));
  const UpdateResult result = trainer.update(task, batch_of(input, target));
  EXPECT_GT(evaluations, 5);
  EXPECT_NEAR(result.loss.item<double>(), first_loss, 1e-7);
  EXPECT_NEAR(trainer.end_epoch(task)["train_loss"], first_loss, 1e-6);
  EXPECT_TRUE(torch::allclose(net->weight, torch::full({1, 4}, 0.5), 1e-3, 1e-3));
}

struct BadLoss {
  const char* name;
  std::function<torch::Tensor(const torch::Tensor&)> of;
  const char* what;
  const char* got;
};
class RefusedLoss : public ::testing::TestWithParam<BadLoss> {};

TEST_P(RefusedLoss, IsNamedWithItsPlaceAndNothingChanges) {
  torch::nn::Linear net(4, 3);
  Tailored task(
      {{"net", net.ptr()}}, [&](const Batch& batch, StepContext&) { return GetParam().of(net(batch.input.tensor())); },
      [&] { return optim::Adam().on(net); });
  Trainer trainer(quiet(Duration::epochs(1)));
  const Tree before = weights_of(task);
  const Error::Parts parts = error_of([&] { trainer.update(task, batch_of(clouds(6), 2, 6)); });
  EXPECT_THAT(parts.what, HasSubstr(GetParam().what));
  EXPECT_EQ(parts.where, "epoch 1, batch 1, samples 2, 3, 4, 5");
  EXPECT_THAT(parts.got, HasSubstr(GetParam().got));
  EXPECT_FALSE(parts.todo.empty());
  EXPECT_EQ(trainer.position().step, 0);
  expect_same(before, weights_of(task));
}

INSTANTIATE_TEST_SUITE_P(Update, RefusedLoss,
                         ::testing::Values(BadLoss{"Vector", [](const torch::Tensor& out) { return out.mean(1); },
                                                   "the loss is not a scalar", "float32 (4)"},
                                           BadLoss{"Detached",
                                                   [](const torch::Tensor& out) { return out.mean().detach(); },
                                                   "the loss has no graph", "without a gradient function"},
                                           BadLoss{"Undefined", [](const torch::Tensor&) { return torch::Tensor(); },
                                                   "the loss is not a scalar", "undefined"},
                                           BadLoss{"Integer", [](const torch::Tensor& out) { return out.argmax(); },
                                                   "the loss", "int64 ()"}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace athanor::testing::update_test
