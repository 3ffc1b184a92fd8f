// SPDX-License-Identifier: Apache-2.0
// Several of everything: optimizers with schedules and clipping of their own, manual steps, loaders, losses, nets.
#include "athanor/data/combine.hpp"
#include "athanor/metrics/reductions.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::several_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
namespace nn = torch::nn;

torch::Tensor ring(int64_t samples, uint64_t seed) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const torch::Tensor angle = torch::rand({samples}, generator) * 6.283185307179586;
  return torch::stack({angle.cos(), angle.sin()}, 1) * 2;
}

/// Points on a circle; automatic optimization with two optimizers.
class Gan : public Task {
 public:
  Gan() {
    torch::manual_seed(3);
    generator = register_net("generator", nn::Sequential(nn::Linear(2, 32), nn::ReLU(), nn::Linear(32, 2)));
    critic = register_net("critic", nn::Sequential(nn::Linear(2, 32), nn::ReLU(), nn::Linear(32, 1)));
  }
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    const torch::Tensor& real = batch.input.tensor();
    const torch::Tensor fake = generator->forward(torch::randn({real.size(0), 2}));
    if (context.optimizer() == "generator") {
      return torch::binary_cross_entropy_with_logits(critic->forward(fake), torch::ones({real.size(0), 1}));
    }
    const torch::Tensor scores = critic->forward(torch::cat({real, fake.detach()}));
    const torch::Tensor truth = torch::cat({torch::ones({real.size(0), 1}), torch::zeros({real.size(0), 1})});
    context.log("critic_acc", ((scores > 0) == (truth > 0)).to(torch::kFloat).mean());
    return torch::binary_cross_entropy_with_logits(scores, truth);
  }
  StepOutput validation_step(const Batch& batch, StepContext& context) override {
    context.log("radius", generator->forward(torch::randn({batch.samples, 2})).norm(2, 1).mean());
    return {};
  }
  Optimizers configure_optimizers() override {
    return {{.name = "generator",
             .optimizer = optim::Adam({.lr = 4e-3, .betas = {0.5, 0.999}}).on(generator),
             .schedule = schedules::cosine()},
            {.name = "critic",
             .optimizer = optim::Adam({.lr = 4e-3, .betas = {0.5, 0.999}}).on(critic),
             .every = 2,
             .schedule = schedules::linear_warmup(20_steps),
             .clip = Clip{.norm = 1.0}}};
  }
  nn::Sequential generator = nullptr, critic = nullptr;
};

TEST(Several, WhatIsOverInAScheduleIsAMessageEach) {
  struct Warmed : Classifier {
    Optimizers configure_optimizers() override {
      return {{.name = "adam",
               .optimizer = optim::Adam({.lr = 0.5}).on(net),
               .schedule = schedules::sequence({schedules::linear_warmup(3_steps), schedules::cosine(0, 2_epochs)})}};
    }
  };
  struct Messages : Listener {
    std::vector<std::string> texts;
    void on_message(const events::Message& message) override {
      if (message.text.find("is over") != std::string::npos) texts.push_back(message.text);
    }
  };
  const auto messages = std::make_shared<Messages>();
  Warmed task;
  TrainerOptions options = quiet(5_epochs);
  options.track = {messages};
  Trainer(options).fit(task, data_of(clouds(64)));
  EXPECT_THAT(messages->texts, ElementsAre("linear warm-up over 3 steps of adam is over, the learning rate is 0.5",
                                           "cosine to 0 over 2 epochs of adam is over, the learning rate is 0"));
}

TEST(Several, AGanTrainsInAutomaticMode) {
  Gan task;
  TrainerOptions options = quiet(10_epochs);
  options.batch_size = 32;
  Trainer trainer(options);
  const History history = trainer.fit(task, Data(ring(1024, 1)), Data(ring(64, 2)));
  EXPECT_THAT(history.names(), IsSupersetOf({"train_loss_generator", "train_loss_critic", "train_critic_acc",
                                             "val_radius", "lr_generator", "lr_critic"}));
  // Each schedule counts the updates of its own optimizer: 320 steps, 160 of the critic.
  EXPECT_NEAR(history["lr_generator"].back(), 0, 1e-12);
  EXPECT_NEAR(history["lr_generator"][4], 2e-3, 1e-6);
  EXPECT_NEAR(history["lr_critic"][0], 4e-3 * 16 / 20, 1e-9);
  EXPECT_NEAR(history["lr_critic"][1], 4e-3, 1e-9);
  EXPECT_NEAR(history["val_radius"].back(), 2, 0.7);  // it begins near 0.4
}

/// A policy with a baseline on a bandit whose third arm pays most; manual optimization of two optimizers.
class ActorCritic : public Task {
 public:
  ActorCritic() {
    torch::manual_seed(5);
    actor = register_net("actor", nn::Linear(2, 3));
    critic = register_net("critic", nn::Linear(2, 1));
  }
  [[nodiscard]] bool manual_optimization() const override { return true; }
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    const torch::Tensor& state = batch.input.tensor();
    const torch::Tensor log_probability = torch::log_softmax(actor(state), 1);
    const torch::Tensor action = torch::multinomial(log_probability.exp().detach(), 1);
    const torch::Tensor reward = (action == 2).to(torch::kFloat) + 0.1 * torch::randn({state.size(0), 1});
    const torch::Tensor value = critic(state);
    const torch::Tensor of_actor = -(log_probability.gather(1, action) * (reward - value.detach())).mean();
    const torch::Tensor of_critic = torch::mse_loss(value, reward);
    context.backward(of_actor);
    context.optimizer_step("actor");
    context.backward(of_critic);
    context.optimizer_step("critic");
    context.log("reward", reward.mean());
    return StepOutput::of({{"actor", of_actor}, {"critic", of_critic, 0.5}});
  }
  Optimizers configure_optimizers() override {
    return {{.name = "actor", .optimizer = optim::Adam({.lr = 0.02}).on(actor)},
            {.name = "critic", .optimizer = optim::SGD({.lr = 0.05}).on(critic), .clip = Clip{.norm = 1.0}}};
  }
  nn::Linear actor = nullptr, critic = nullptr;
};

TEST(Several, AnActorCriticTrainsInManualMode) {
  ActorCritic task;
  TrainerOptions options = quiet(5_epochs);
  options.batch_size = 16;
  const History history = Trainer(options).fit(task, Data(torch::ones({640, 2})));
  EXPECT_GT(history["train_reward"].back(), 0.9);
  EXPECT_LT(history["train_reward"].front(), 0.75);
  EXPECT_THAT(history.names(), IsSupersetOf({"train_loss", "train_actor", "train_critic", "train_reward"}));
  EXPECT_NEAR(history["train_loss"].back(), history["train_actor"].back() + 0.5 * history["train_critic"].back(), 1e-6);
}

TEST(Several, OptimizersAreNotTheStepsUnlessItSaysSo) {
  class Greedy : public Classifier {
   public:
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      StepOutput output = Classifier::training_step(batch, context);
      context.backward(output.loss);
      return output;
    }
  } greedy;
  EXPECT_THAT(error_of([&] { return Trainer(quiet(1_steps)).fit(greedy, data_of(clouds(4))); }).todo,
              HasSubstr("manual_optimization()"));
  class Confused : public ActorCritic {
   public:
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      context.backward(actor(batch.input.tensor()).mean());
      context.optimizer_step("actr");
      return {};
    }
  } confused;
  EXPECT_THAT(error_of([&] {
                return Trainer(quiet(1_steps)).fit(confused, Data(torch::ones({4, 2})));
              }).expected,
              HasSubstr("actor, critic"));
}

TEST(Several, LossesOfAStepAreSummedByTheirWeightsAndEachIsAValue) {
  nn::Linear net(nn::LinearOptions(1, 1).bias(false));
  nn::init::ones_(net->weight);
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext&) {
        const torch::Tensor out = net(batch.input.tensor()).mean();
        StepOutput output = StepOutput::of({{"up", out, 1.0}, {"down", out * 3, -0.5}});
        output.scores = {{"half", out.detach() / 2}};
        output.accumulators = {{"seen", Sum(static_cast<double>(batch.samples))}};
        return output;
      },
      [&] { return optim::SGD({.lr = 1}).on(net); });
  const History history = Trainer(quiet(1_steps)).fit(task, Data(torch::full({4, 1}, 2.0)));
  EXPECT_EQ(history["train_up"].front(), 2);
  EXPECT_EQ(history["train_down"].front(), 6);
  EXPECT_EQ(history["train_half"].front(), 1);
  EXPECT_EQ(history["train_seen"].front(), 4);
  EXPECT_EQ(history["train_loss"].front(), -1);
  EXPECT_FLOAT_EQ(net->weight.item<float>(), 1 - (2.0F - 3.0F));
}

TEST(Several, ALoaderHasItsOwnMetricsAndStepAndMayLeaveTheLossOut) {
  Classifier task;
  const StepFunction mirrored = [&](const Batch& batch, StepContext& context) {
    context.log("from", context.loader() == "mirror" ? 1.0 : 0.0);
    return StepOutput({}, task.net->forward(-batch.input.tensor()));
  };
  const History history =
      Trainer(quiet(1_epochs))
          .fit(task, {.train = data_of(clouds(8)),
                      .validation = {
                          data_of(clouds(6)),
                          Feed(data_of(clouds(6)).named("mirror"),
                               {.metrics = Metrics{{"hits", metrics::accuracy()}}, .loss = false, .step = mirrored})}});
  EXPECT_THAT(history.names(), ElementsAre("train_loss", "train_acc", "train_spread", "val_loss", "val_acc",
                                           "val_spread", "mirror_hits", "mirror_from"));
  EXPECT_EQ(history["mirror_from"].front(), 1);
}

TEST(Several, TrainingDataHaveTheirOwnMetricsToo) {
  Classifier task;
  const History history =
      Trainer(quiet(1_epochs))
          .fit(task, {.train = Feed(data_of(clouds(8)), {.metrics = Metrics{{"hits", metrics::accuracy()}}}),
                      .validation = {data_of(clouds(6))}});
  EXPECT_THAT(history.names(),
              ElementsAre("train_loss", "train_hits", "train_spread", "val_loss", "val_acc", "val_spread"));
  const Error::Parts parts = error_of([&] {
    return Trainer(quiet(1_epochs)).fit(task, {.train = Feed(data_of(clouds(8)), {.loss = false}), .validation = {}});
  });
  EXPECT_THAT(parts.what, HasSubstr("training data can't leave out their loss"));
}

TEST(Several, TrainingLoadersInOne) {
  const Data labelled = data_of(clouds(12, 1)), unlabelled = Data(clouds(20, 2).input);
  const Loader both =
      combine({{"labelled", labelled.loader({.batch_size = 4})}, {"unlabelled", unlabelled.loader({.batch_size = 4})}});
  nn::Linear net(4, 3);
  int64_t steps = 0;
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext& context) {
        if (context.stage() == Stage::train) ++steps;
        const torch::Tensor logits = net(batch.input["labelled"].tensor());
        const torch::Tensor consistency = net(batch.input["unlabelled"].tensor()).softmax(1).pow(2).sum(1).mean();
        return torch::cross_entropy_loss(logits, batch.target["labelled"].tensor()) - 0.1 * consistency;
      },
      [&] { return optim::SGD({.lr = 0.1}).on(net); });
  Trainer(quiet(1_epochs)).fit(task, Data(both));
  EXPECT_EQ(steps, 5);

  std::vector<std::string> parts;
  Classifier in_turn;
  Trainer(quiet(1_epochs, {At(Moment::forward_begin,
                              [&](Trainer&, MomentInfo& info) { parts.emplace_back(info.context->loader()); })}))
      .fit(in_turn, Data(combine({{"first", labelled.loader({.batch_size = 6})},
                                  {"second", data_of(clouds(6, 4)).loader({.batch_size = 6})}},
                                 {.how = Combine::in_turn})));
  EXPECT_THAT(parts, ElementsAre("first", "first", "second"));
}

TEST(Several, ATeacherIsUsedAndNeitherTrainedNorSaved) {
  class Distilled : public Classifier {
   public:
    Distilled() : teacher(register_frozen_net("teacher", std::make_shared<Small>(9))) {}
    StepOutput training_step(const Batch& batch, StepContext&) override {
      modes.push_back(teacher->is_training());
      const torch::Tensor taught = teacher->forward(batch.input.tensor()).softmax(1);
      return torch::cross_entropy_loss(net->forward(batch.input.tensor()), taught);
    }
    std::shared_ptr<Small> teacher;
    std::vector<bool> modes;
  } task;
  const Tree before = weights_of(task.teacher);
  const Tree student = weights_of(task);
  Trainer trainer(quiet(2_epochs));
  trainer.fit(task, data_of(clouds(12)));
  expect_same(before, weights_of(task.teacher));
  expect_other(student, weights_of(task));
  EXPECT_THAT(task.modes, ::testing::Each(false));
  EXPECT_EQ(trainer.save_state()["task"]["nets"].find("teacher"), nullptr);
  EXPECT_EQ(trainer.save_state()["task"]["nets"].find("net.in.weight"), nullptr);  // one net: its names stand alone
}

TEST(Several, AGradientPenaltyIsDifferentiatedTwice) {
  // The gradient of (d/dx w x)^2 = w^2 with respect to w is 2 w.
  nn::Linear net(nn::LinearOptions(1, 1).bias(false));
  nn::init::constant_(net->weight, 3);
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext& context) -> StepOutput {
        if (context.stage() != Stage::train) return {};
        torch::Tensor input = batch.input.tensor().clone().requires_grad_();
        const torch::Tensor slope = torch::autograd::grad({net(input).sum()}, {input}, {}, true, true).front();
        return slope.pow(2).mean();
      },
      [&] { return optim::SGD({.lr = 0.1}).on(net); });
  Trainer(quiet(1_steps)).fit(task, Data(torch::ones({4, 1})));
  EXPECT_FLOAT_EQ(net->weight.item<float>(), 3 - 0.1F * 2 * 3);
}

TEST(Several, GroupsByPatternHaveValuesOfTheirOwn) {
  class Grouped : public Classifier {
   public:
    Optimizers configure_optimizers() override {
      return optim::AdamW({.lr = 0.01, .weight_decay = 0.1})
          .on(parameters({{"*.bias", {.weight_decay = 0}}, {"norm.*", {.lr = 0.001, .weight_decay = 0}}}));
    }
  } task;
  const History history = Trainer(quiet(1_epochs)).fit(task, data_of(clouds(8)));
  EXPECT_EQ(history["lr_0"].front(), 0.01);
  EXPECT_EQ(history["weight_decay_0"].front(), 0.1);
  EXPECT_EQ(history["weight_decay_1"].front(), 0);
  EXPECT_EQ(history["lr_2"].front(), 0.001);
  EXPECT_EQ(history["momentum_1"].front(), 0.9);
}

TEST(Several, BatchesMayBeNested) {
  struct Nested {
    static int64_t size() { return 8; }
    static Sample get(int64_t index) {
      const torch::Tensor x = torch::full({2}, static_cast<float>(index));
      return {Tree::Dictionary{{"pair", Tree::list({x, x + 1})}, {"mask", torch::ones({2})}},
              Tree::Dictionary{{"sum", x.sum()}}};
    }
  };
  nn::Linear net(2, 1);
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext&) -> StepOutput {
        const Tree& pair = batch.input["pair"];
        const torch::Tensor out = net((pair[0].tensor() + pair[1].tensor()) * batch.input["mask"].tensor()).squeeze(1);
        return {torch::mse_loss(out, batch.target["sum"].tensor()), Tree(out), batch.target["sum"]};
      },
      [&] { return optim::SGD({.lr = 1e-3}).on(net); });
  const History history = Trainer(quiet(2_epochs)).fit(task, Data(Nested{}), Data(Nested{}));
  EXPECT_LT(history["val_loss"].back(), history["val_loss"].front());
}

TEST(Several, OptimizersThatDoNotFitTheTaskAreRefusedOrNamed) {
  nn::Linear net(4, 3), stranger(4, 3);
  auto step = [&](const Batch& batch, StepContext&) {
    return torch::cross_entropy_loss(net(batch.input.tensor()), batch.target.tensor());
  };
  const auto refuse = [&](const std::function<Optimizers()>& optimizers) {
    Tailored task({{"net", net.ptr()}}, step, optimizers);
    return error_of([&] { return Trainer(quiet(1_epochs)).fit(task, data_of(clouds(4))); });
  };
  EXPECT_THAT(refuse([&] { return optim::SGD().on(stranger); }).what, HasSubstr("in no net of the task"));
  EXPECT_EQ(refuse([] { return Optimizers(); }).what, "a task without an optimizer");
  EXPECT_EQ(refuse([&]() -> Optimizers {
              return {{"a", optim::SGD().on(net)}, {"a", optim::SGD().on(net)}};
            }).what,
            "two optimizers have one name");
  EXPECT_EQ(refuse([&]() -> Optimizers { return {{"a", optim::SGD().on(net), 0}}; }).what, "an optimizer is never due");

  struct Notes : Listener {
    std::vector<std::string> notes;
    void on_run_begin(const events::RunBegin& run) override { notes = run.notes; }
  };
  const auto listener = std::make_shared<Notes>();
  Tailored partly({{"net", net.ptr()}}, step, [&] { return optim::SGD().on(std::vector<at::Tensor>{net->weight}); });
  TrainerOptions options = quiet(1_epochs);
  options.track = {listener};
  Trainer(options).fit(partly, data_of(clouds(4)));
  EXPECT_THAT(listener->notes, ::testing::Contains(HasSubstr("in no optimizer: bias")));
}

}  // namespace
}  // namespace athanor::testing::several_test
