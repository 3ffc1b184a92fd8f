// SPDX-License-Identifier: Apache-2.0
// Optimizers of LibTorch as they are: step, closure, learning rates, and a saved state that goes on bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "athanor/optim/adam.hpp"
#include "athanor/optim/optimizer.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::libtorch_optimizer_torch_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Make = std::function<std::shared_ptr<torch::optim::Optimizer>(std::vector<torch::Tensor>)>;

struct Adoptable {
  std::string name;
  Make make;
};

const std::vector<Adoptable>& adoptable() {
  static const std::vector<Adoptable> all{
      {"Adam",
       [](auto tensors) {
         return std::make_shared<torch::optim::Adam>(tensors, torch::optim::AdamOptions(0.1).amsgrad(true));
       }},
      {"RMSprop",
       [](auto tensors) {
         return std::make_shared<torch::optim::RMSprop>(tensors, torch::optim::RMSpropOptions(0.1).momentum(0.5));
       }},
      {"LBFGS",
       [](auto tensors) {
         return std::make_shared<torch::optim::LBFGS>(tensors, torch::optim::LBFGSOptions(0.1).max_iter(3));
       }},
  };
  return all;
}

struct Problem {
  std::vector<torch::Tensor> tensors{torch::full({3}, 0.5).requires_grad_(),
                                     torch::full({2, 2}, -1.0).requires_grad_()};
  std::shared_ptr<Optimizer> optimizer;
  int evaluations = 0;

  explicit Problem(const Adoptable& each) : optimizer(optim::adopt(each.make(tensors))) {}

  torch::Tensor evaluate() {
    ++evaluations;
    optimizer->zero_grad();
    torch::Tensor loss = (tensors[0].pow(2) * torch::tensor({1.0, 5.0, 9.0})).sum() + (tensors[1] - 3).pow(4).sum();
    loss.backward();
    return loss;
  }
  double step() {
    return optimizer->step([this] { return evaluate(); }).item<double>();
  }
};

TEST(LibtorchOptimizerTest, ANullPointerIsRefused) {
  EXPECT_EQ(error_of([] { static_cast<void>(optim::adopt(nullptr)); }).what, "the optimizer is a null pointer");
  EXPECT_EQ(error_of([] { optim::Recipe(std::shared_ptr<torch::optim::SGD>()); }).what,
            "the optimizer is a null pointer");
}

TEST(LibtorchOptimizerTest, AStepWithoutAClosureIsRefusedWhereOneIsNeeded) {
  for (const Adoptable& each : adoptable()) {
    Problem problem(each);
    EXPECT_EQ(problem.optimizer->needs_closure(), each.name == "LBFGS");
    if (!problem.optimizer->needs_closure()) continue;
    const auto parts = error_of([&] { problem.optimizer->step(); });
    EXPECT_EQ(parts.what, "this optimizer evaluates the loss several times a step");
    EXPECT_THAT(parts.where, HasSubstr("LBFGS"));
    EXPECT_THAT(parts.todo, HasSubstr("step(evaluate)"));
  }
}

TEST(LibtorchOptimizerTest, AStateThatIsNoneIsRefused) {
  for (const Adoptable& each : adoptable()) {
    Problem problem(each);
    EXPECT_THAT(error_of([&] { load_state(*problem.optimizer, Tree(Tree::Dictionary{})); }).got, "missing: archive");
    for (const Tree& archive : {Tree(), Tree(torch::zeros({40})), Tree(torch::full({40}, 65, torch::kByte))}) {
      const auto parts = error_of([&] { load_state(*problem.optimizer, Tree{{"archive", archive}}); });
      EXPECT_EQ(parts.what, "the saved state of an optimizer can't be loaded") << archive.describe();
      EXPECT_THAT(parts.where, HasSubstr(each.name));
      EXPECT_FALSE(parts.got.empty());
    }
  }
}

TEST(LibtorchOptimizerTest, StepsAsTheOptimizerAlone) {
  for (const Adoptable& each : adoptable()) {
    Problem problem(each);
    Problem alone(each);
    const auto optimizer = each.make(alone.tensors);
    double last = 1e9;
    for (int i = 0; i < 5; ++i) {
      const double loss = problem.step();
      EXPECT_EQ(loss, (optimizer->step([&] { return alone.evaluate(); }).item<double>()));
      EXPECT_LT(loss, last) << each.name;
      last = loss;
    }
    EXPECT_EQ(problem.evaluations, alone.evaluations);
    EXPECT_EQ(problem.evaluations > 5, each.name == "LBFGS");
    for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(torch::equal(problem.tensors[i], alone.tensors[i])) << each.name;
  }
}

TEST(LibtorchOptimizerTest, ASavedStateGoesOnBitForBit) {
  for (const Adoptable& each : adoptable()) {
    Problem problem(each);
    for (int i = 0; i < 5; ++i) problem.step();
    problem.optimizer->set_lr(0, 0.07);
    const Tree saved = save_state(*problem.optimizer);
    Problem fresh(each);
    {
      torch::NoGradGuard no_grad;
      for (size_t i = 0; i < 2; ++i) fresh.tensors[i].copy_(problem.tensors[i]);
    }
    load_state(*fresh.optimizer, saved);
    EXPECT_EQ(fresh.optimizer->lr(), 0.07);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(problem.step(), fresh.step()) << each.name << " step " << i;
    for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(torch::equal(problem.tensors[i], fresh.tensors[i])) << each.name;
  }
}

TEST(LibtorchOptimizerTest, GroupsKeepTheirOwnRates) {
  const auto a = torch::ones({1}).requires_grad_();
  const auto b = torch::ones({1}).requires_grad_();
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(std::vector<torch::Tensor>{a});
  groups.emplace_back(std::vector<torch::Tensor>{b}, std::make_unique<torch::optim::SGDOptions>(0.5));
  const auto optimizer = optim::adopt(std::make_shared<torch::optim::SGD>(groups, torch::optim::SGDOptions(0.1)));
  EXPECT_EQ(optimizer->groups(), 2U);
  EXPECT_EQ(optimizer->lr(0), 0.1);
  EXPECT_EQ(optimizer->lr(1), 0.5);
  optimizer->set_lr(1, 0.25);
  EXPECT_EQ(optimizer->lr(0), 0.1);
  a.mutable_grad() = torch::ones({1});
  b.mutable_grad() = torch::ones({1});
  optimizer->step();
  EXPECT_FLOAT_EQ(a.item<float>(), 0.9F);
  EXPECT_FLOAT_EQ(b.item<float>(), 0.75F);
  EXPECT_EQ(optimizer->parameters().size(), 2U);
  EXPECT_EQ(optimizer->parameters()[1].name, "1");
  optimizer->zero_grad();
  EXPECT_FALSE(a.grad().defined());
  EXPECT_EQ(optimizer->describe(), "torch::optim::SGD(lr 0.1)");
}

TEST(LibtorchOptimizerTest, FieldsAreThoseOfTheOptionsOfLibTorch) {
  using Field = Optimizer::Field;
  const std::vector<torch::Tensor> tensors{torch::ones({1}).requires_grad_()};
  const auto adam = std::make_shared<torch::optim::AdamW>(
      tensors, torch::optim::AdamWOptions(0.1).betas({0.8, 0.9}).weight_decay(0.25));
  const auto optimizer = optim::adopt(adam);
  EXPECT_EQ(optimizer->get(Field::lr), 0.1);
  EXPECT_EQ(optimizer->get(Field::momentum), 0.8);
  EXPECT_EQ(optimizer->get(Field::weight_decay), 0.25);
  optimizer->set(Field::momentum, 0, 0.5);
  optimizer->set(Field::weight_decay, 0, 0.125);
  optimizer->set_lr(0, 0.75);
  const auto& options = static_cast<torch::optim::AdamWOptions&>(adam->param_groups()[0].options());
  EXPECT_EQ(std::get<0>(options.betas()), 0.5);
  EXPECT_EQ(std::get<1>(options.betas()), 0.9);
  EXPECT_EQ(options.weight_decay(), 0.125);
  EXPECT_EQ(options.lr(), 0.75);
  EXPECT_EQ(error_of([&] { optimizer->set(Field::momentum, 0, 1); }).expected, "from 0 to below 1");
  EXPECT_EQ(error_of([&] { optimizer->set_lr(0, -1); }).where, optimizer->describe() + ", lr");
  EXPECT_EQ(error_of([&] { optimizer->set_lr(1, 1); }).what, "an optimizer has no group of that number");
  EXPECT_EQ(optimizer->lr(), 0.75);

  const auto sgd =
      optim::adopt(std::make_shared<torch::optim::SGD>(tensors, torch::optim::SGDOptions(0.1).momentum(0.9)));
  EXPECT_EQ(sgd->get(Field::momentum), 0.9);
  sgd->set(Field::momentum, 0, 1.5);
  EXPECT_EQ(sgd->get(Field::momentum), 1.5);
  const auto adagrad = optim::adopt(std::make_shared<torch::optim::Adagrad>(tensors));
  EXPECT_FALSE(adagrad->get(Field::momentum).has_value());
  EXPECT_EQ(adagrad->get(Field::weight_decay), 0);
  const auto parts = error_of([&] { adagrad->set(Field::momentum, 0, 0.9); });
  EXPECT_EQ(parts.what, "this optimizer has no field of that name");
  EXPECT_EQ(parts.got, "momentum");
}

TEST(LibtorchOptimizerTest, AStepIsDividedOrSkipped) {
  const auto tensor = torch::ones({1}).requires_grad_();
  const auto sgd = std::make_shared<torch::optim::SGD>(std::vector<torch::Tensor>{tensor, torch::ones({1})}, 0.5);
  const auto optimizer = optim::adopt(sgd);
  tensor.mutable_grad() = torch::full({1}, 8.0);
  optimizer->step({.divisor = torch::full({}, 4.0), .found_inf = torch::full({}, 2.0)});
  EXPECT_EQ(tensor.item<float>(), 1);
  EXPECT_EQ(tensor.grad().item<float>(), 8);
  optimizer->step({.divisor = torch::full({}, 8.0), .found_inf = torch::zeros({})});
  EXPECT_EQ(tensor.item<float>(), 0.5F);
  EXPECT_EQ(tensor.grad().item<float>(), 1);
}

TEST(LibtorchOptimizerTest, ARecipeBringsItsOwnParameters) {
  const auto tensor = torch::ones({1}).requires_grad_();
  const optim::Recipe recipe = std::make_shared<torch::optim::SGD>(std::vector<torch::Tensor>{tensor}, 0.5);
  EXPECT_TRUE(recipe.defined());
  EXPECT_EQ(recipe.describe(), "torch::optim::SGD(lr 0.5)");
  const auto optimizer = recipe.on({});
  ASSERT_EQ(optimizer->parameters().size(), 1U);
  EXPECT_TRUE(optimizer->parameters()[0].tensor.is_same(tensor));
}

TEST(ParametersTest, AModuleGivesThoseThatRequireAGradientUnderTheirNames) {
  torch::nn::Sequential net(torch::nn::Linear(2, 3), torch::nn::ReLU(), torch::nn::Linear(3, 1));
  net->parameters()[1].requires_grad_(false);
  auto names = [](const Parameters& parameters) {
    std::vector<std::string> found;
    for (const Parameter& parameter : parameters) found.push_back(parameter.name);
    return found;
  };
  EXPECT_THAT(names(parameters_of(net)), ElementsAre("0.weight", "2.weight", "2.bias"));
  EXPECT_THAT(names(parameters_of(*net)), ElementsAre("0.weight", "2.weight", "2.bias"));
  EXPECT_THAT(names(parameters_of(net.ptr())), ElementsAre("0.weight", "2.weight", "2.bias"));
  EXPECT_EQ(optim::Adam().on(net)->parameters().size(), 3U);
  for (auto& parameter : net->parameters()) parameter.requires_grad_(false);
  EXPECT_EQ(error_of([&] { static_cast<void>(optim::Adam().on(net)); }).what, "an optimizer has nothing to train");
}

}  // namespace
}  // namespace athanor::libtorch_optimizer_torch_test
