// SPDX-License-Identifier: Apache-2.0
// Our optimizers: options out of range and tensors that can't be trained are refused, explicit options are never lost,
// a saved state goes on bit for bit.
#include "athanor/optim/optimizer.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/sparse_coo_tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "athanor/optim/optimizers.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::optimizer_test {
namespace {

using optim::Adam;
using optim::AdamW;
using optim::Recipe;
using optim::SGD;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

at::Tensor leaf(at::IntArrayRef shape, double value = 1) { return at::full(shape, value).requires_grad_(); }

void give_gradient(const at::Tensor& parameter, double value) {
  parameter.mutable_grad() = at::full(parameter.sizes(), value, parameter.options());
}

/// A gradient that depends on the parameter and the step, as in training.
void give_gradients(const Parameters& parameters, int step) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor values = parameters[i].tensor.detach();
    parameters[i].tensor.mutable_grad() = at::sin(values * 3 + step) + at::cos(values * static_cast<double>(i + 1));
  }
}

struct Case {
  std::string name;
  Recipe recipe;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"Adam", Adam({.lr = 0.1, .weight_decay = 0.01})},
      {"Adam with amsgrad", Adam({.lr = 0.1, .amsgrad = true})},
      {"AdamW", AdamW({.lr = 0.1})},
      {"SGD", SGD({.lr = 0.1, .weight_decay = 0.01})},
      {"SGD with momentum", SGD({.lr = 0.1, .momentum = 0.9, .dampening = 0.5})},
      {"SGD with nesterov", SGD({.lr = 0.1, .momentum = 0.9, .nesterov = true})},
      {"NAdam", optim::NAdam({.lr = 0.1, .weight_decay = 0.01})},
      {"RAdam", optim::RAdam({.lr = 0.1, .decoupled_weight_decay = true})},
      {"Adamax", optim::Adamax({.lr = 0.1})},
      {"Adagrad", optim::Adagrad({.lr = 0.1, .weight_decay = 0.01})},
      {"Adadelta", optim::Adadelta({.lr = 0.1, .eps = 0.01})},
      {"RMSprop", optim::RMSprop({.lr = 0.1})},
      {"RMSprop centered with momentum", optim::RMSprop({.lr = 0.1, .momentum = 0.5, .centered = true})},
      {"Rprop", optim::Rprop({.lr = 0.1})},
      {"ASGD", optim::ASGD({.lr = 0.1, .t0 = 2})},
      {"Lion", optim::Lion({.lr = 0.1, .weight_decay = 0.01})},
      {"LAMB", optim::LAMB({.lr = 0.1})},
      {"Adafactor", optim::Adafactor({.lr = 0.1})},
      {"Lookahead", optim::Lookahead(SGD({.lr = 0.1, .momentum = 0.5}), {.k = 2})},
  };
  return all;
}

std::vector<at::Tensor> net() { return {leaf({3, 2}, 0.5), leaf({4}, -1), leaf({}, 2)}; }

std::shared_ptr<Optimizer> bound(const Recipe& recipe, const std::vector<at::Tensor>& tensors) {
  return recipe.on({{parameters_of(tensors), {}}});
}

TEST(OptimizerTest, OptionsOutOfRangeAreRefusedWithTheirName) {
  const double nan = std::nan("");
  auto refused = [](auto&& make, const std::string& where, const std::string& got) {
    const auto parts = error_of(make);
    EXPECT_EQ(parts.what, "an option of an optimizer is out of range");
    EXPECT_EQ(parts.where, where);
    EXPECT_EQ(parts.got, got);
    EXPECT_FALSE(parts.expected.empty());
  };
  refused([&] { Adam({.lr = -1}); }, "Adam, lr", "-1");
  refused([&] { Adam({.lr = nan}); }, "Adam, lr", "nan");
  refused([&] { Adam({.betas = {1.0, 0.999}}); }, "Adam, betas", "1");
  refused([&] { Adam({.betas = {0.9, -0.5}}); }, "Adam, betas", "-0.5000");
  refused([&] { Adam({.betas = {0.9, nan}}); }, "Adam, betas", "nan");
  refused([&] { Adam({.eps = -1}); }, "Adam, eps", "-1");
  refused([&] { Adam({.weight_decay = -1}); }, "Adam, weight_decay", "-1");
  refused([&] { AdamW({.lr = -1}); }, "AdamW, lr", "-1");
  refused([&] { AdamW({.weight_decay = nan}); }, "AdamW, weight_decay", "nan");
  refused([&] { SGD({.lr = -1}); }, "SGD, lr", "-1");
  refused([&] { SGD({.momentum = -1}); }, "SGD, momentum", "-1");
  refused([&] { SGD({.weight_decay = -1}); }, "SGD, weight_decay", "-1");
  refused([&] { SGD({.nesterov = true}); }, "SGD, momentum", "0");
  refused([&] { SGD({.momentum = 0.9, .dampening = 1, .nesterov = true}); }, "SGD, dampening", "1");
  Adam({.lr = 0, .betas = {0, 0}, .eps = 0});
}

TEST(OptimizerTest, OptionsOfAGroupAreCheckedToo) {
  const Parameters parameters = parameters_of(net());
  EXPECT_EQ(error_of([&] { return Adam().on({{parameters, {.lr = -2}}}); }).where, "Adam, lr");
  EXPECT_EQ(error_of([&] { return AdamW().on({{parameters, {.betas = {{2, 0}}}}}); }).where, "AdamW, betas");
  EXPECT_EQ(error_of([&] {
              return SGD({.momentum = 0.9, .nesterov = true}).on({{parameters, {.momentum = 0}}});
            }).where,
            "SGD, momentum");
}

TEST(OptimizerTest, AnOptionThatTheOptimizerDoesNotHaveIsRefused) {
  const Parameters parameters = parameters_of(net());
  auto parts = error_of([&] { return Adam().on({{parameters, {.momentum = 0}}}); });
  EXPECT_EQ(parts.what, "a group sets an option that its optimizer does not have");
  EXPECT_EQ(parts.where, "Adam");
  EXPECT_EQ(parts.got, "momentum");
  EXPECT_EQ(error_of([&] { return AdamW().on({{parameters, {.momentum = 0.9}}}); }).where, "AdamW");
  EXPECT_EQ(error_of([&] { return SGD().on({{parameters, {.eps = 1e-8}}}); }).got, "eps");
  EXPECT_EQ(error_of([&] { return SGD().on({{parameters, {.betas = {{0.9, 0.999}}}}}); }).got, "betas");
}

TEST(OptimizerTest, NothingToTrainIsRefused) {
  for (const Case& each : cases()) {
    EXPECT_EQ(error_of([&] { return each.recipe.on({}); }).what, "an optimizer has nothing to train");
    const auto parts = error_of([&] { return each.recipe.on({{parameters_of(net()), {}}, {{}, {}}}); });
    EXPECT_THAT(parts.where, HasSubstr(", group 1"));
    EXPECT_FALSE(parts.todo.empty());
  }
}

TEST(OptimizerTest, TensorsThatCanNotBeTrainedAreRefused) {
  const std::vector<std::pair<at::Tensor, std::string>> foreign{
      {leaf({2}) * 2, "float32 (2), the result of an operator"},
      {at::ones({2}), "float32 (2), without requires_grad"},
      {at::Tensor(), "undefined, without a value"},
      {at::ones({2}, at::kComplexFloat).requires_grad_(), "ComplexFloat (2), not real"},
      {at::ones({4, 2}).select(1, 0).requires_grad_(), "float32 (4), a view with gaps or a sparse tensor"},
      {at::ones({1}).expand({4}).requires_grad_(), "float32 (4), a view with gaps or a sparse tensor"},
  };
  for (const Case& each : cases()) {
    for (const auto& [tensor, got] : foreign) {
      const auto parts = error_of([&] { bound(each.recipe, {leaf({1}), tensor}); });
      EXPECT_EQ(parts.what, "an optimizer can't train this tensor");
      EXPECT_THAT(parts.where, HasSubstr(", group 0, 1"));
      EXPECT_EQ(parts.got, got);
    }
  }
}

TEST(OptimizerTest, AParameterThatAppearsTwiceIsRefused) {
  const at::Tensor twice = leaf({2});
  for (const Case& each : cases()) {
    auto parts = error_of([&] { bound(each.recipe, {leaf({2}), twice, twice}); });
    EXPECT_EQ(parts.what, "a parameter appears twice in an optimizer");
    EXPECT_EQ(parts.got, "2");
    parts = error_of([&] { return each.recipe.on({{{{"a", twice}}, {}}, {{{"b", twice}}, {}}}); });
    EXPECT_THAT(parts.where, HasSubstr("group 1"));
    EXPECT_EQ(parts.got, "b");
    EXPECT_EQ(error_of([&] { return each.recipe.on({{{{"a", twice}, {"a", leaf({2})}}, {}}}); }).got, "a");
  }
}

TEST(OptimizerTest, AGroupOnSeveralDevicesIsRefused) {
  const at::Tensor meta = at::ones({2}, at::TensorOptions().device(at::kMeta)).requires_grad_();
  for (const Case& each : cases()) {
    const auto parts = error_of([&] { bound(each.recipe, {leaf({2}), meta}); });
    EXPECT_EQ(parts.what, "the parameters of one group differ in device or dtype");
    EXPECT_EQ(parts.got, "float32 (2) on meta");
  }
}

TEST(OptimizerTest, GradientsThatDoNotFitAreRefusedByName) {
  for (const Case& each : cases()) {
    const at::Tensor tensor = leaf({3});
    const auto optimizer = each.recipe.on({{{{"layer.weight", tensor}}, {}}});
    tensor.mutable_grad() = at::ones({4});
    auto parts = error_of([&] { optimizer->step(); });
    EXPECT_EQ(parts.what, "a gradient does not fit its parameter");
    EXPECT_THAT(parts.where, HasSubstr(", layer.weight"));
    EXPECT_EQ(parts.got, "float32 (4)");
    tensor.mutable_grad() = at::ones({3}, at::kDouble);
    EXPECT_EQ(error_of([&] { optimizer->step(); }).got, "float64 (3)");
    tensor.mutable_grad() = at::sparse_coo_tensor(at::zeros({1, 1}, at::kLong), at::ones({1}), {3});
    if (each.name == "Adagrad" || each.name.starts_with("SGD") || each.name == "Lookahead") continue;
    parts = error_of([&] { optimizer->step(); });
    EXPECT_EQ(parts.what, "a sparse gradient reached an optimizer for dense ones");
    EXPECT_TRUE(at::equal(tensor, at::ones({3})));
  }
}

TEST(OptimizerTest, GradientsOfOtherStridesAreReadByTheirIndices) {
  for (const Case& each : cases()) {
    const at::Tensor values = at::arange(6).to(at::kFloat).reshape({2, 3});
    const at::Tensor plain = leaf({2, 3});
    const at::Tensor turned = leaf({2, 3});
    const at::Tensor expanded = leaf({2, 3});
    const at::Tensor spread = leaf({2, 3});
    const auto one = bound(each.recipe, {plain, spread});
    const auto other = bound(each.recipe, {turned, expanded});
    for (int step = 0; step < 3; ++step) {
      plain.mutable_grad() = values.clone();
      turned.mutable_grad() = values.t().contiguous().t();
      spread.mutable_grad() = at::full({2, 3}, 0.25);
      expanded.mutable_grad() = at::full({1, 1}, 0.25).expand({2, 3});
      one->step();
      other->step();
    }
    EXPECT_TRUE(at::equal(plain, turned)) << each.name;
    EXPECT_TRUE(at::equal(spread, expanded)) << each.name;
  }
}

TEST(OptimizerTest, ALearningRateBelowZeroIsRefusedAndTheOldOneKept) {
  for (const Case& each : cases()) {
    const auto optimizer = bound(each.recipe, net());
    EXPECT_EQ(error_of([&] { optimizer->set_lr(0, -0.5); }).got, "-0.5000");
    EXPECT_EQ(error_of([&] { optimizer->set_lr(0, std::nan("")); }).got, "nan");
    EXPECT_EQ(optimizer->lr(), 0.1);
  }
}

TEST(OptimizerTest, FieldsAreReadAndSetInTheirGroupOnly) {
  using Field = Optimizer::Field;
  for (const Case& each : cases()) {
    const auto optimizer = each.recipe.on({{{{"a", leaf({1})}}, {}}, {{{"b", leaf({1})}}, {.lr = 0.7}}});
    EXPECT_EQ(optimizer->get(Field::lr), 0.1);
    EXPECT_EQ(optimizer->get(Field::lr, 1), 0.7);
    for (const Field field : {Field::lr, Field::momentum, Field::weight_decay}) {
      const std::optional<double> before = optimizer->get(field, 0);
      if (!before.has_value()) {
        EXPECT_EQ(error_of([&] { optimizer->set(field, 1, 0.25); }).what, "this optimizer has no field of that name");
        continue;
      }
      optimizer->set(field, 1, 0.25);
      EXPECT_EQ(optimizer->get(field, 1), 0.25);
      EXPECT_EQ(optimizer->get(field, 0), before);
      for (const double wrong : {-0.5, std::nan("")}) {
        const auto parts = error_of([&] { optimizer->set(field, 1, wrong); });
        EXPECT_EQ(parts.what, "an option of an optimizer is out of range") << name_of(field);
      }
      EXPECT_EQ(optimizer->get(field, 1), 0.25) << each.name;
    }
    const auto parts = error_of([&] { optimizer->set(Field::lr, 2, 0.1); });
    EXPECT_EQ(parts.what, "an optimizer has no group of that number");
    EXPECT_EQ(parts.got, "2");
    EXPECT_EQ(parts.expected, "0 to 1");
    EXPECT_EQ(error_of([&] { return optimizer->get(Field::lr, 2); }).got, "2");
  }
  EXPECT_EQ(error_of([] { bound(Adam(), net())->set(Field::momentum, 0, 1); }).expected, "from 0 to below 1");
  EXPECT_EQ(error_of([] { bound(SGD({.momentum = 0.9, .nesterov = true}), net())->set(Field::momentum, 0, 0); }).where,
            "SGD, momentum");
}

TEST(OptimizerTest, TheMomentumOfAdamIsItsFirstBeta) {
  const auto adam = bound(Adam({.betas = {0.8, 0.95}}), net());
  EXPECT_EQ(adam->get(Optimizer::Field::momentum), 0.8);
  adam->set(Optimizer::Field::momentum, 0, 0.5);
  EXPECT_THAT(list_state(save_state(*adam)), ::testing::Contains("param_groups.0.beta1  0.5000"));
}

TEST(OptimizerTest, AMomentumThatIsSetLaterCountsFromThen) {
  const at::Tensor tensor = leaf({1});
  const auto optimizer = SGD({.lr = 0.5}).on(std::vector<at::Tensor>{tensor});
  auto step = [&] {
    give_gradient(tensor, 1);
    optimizer->step();
    return tensor.item<float>();
  };
  EXPECT_EQ(step(), 0.5F);
  optimizer->set(Optimizer::Field::momentum, 0, 0.5);
  EXPECT_EQ(step(), 0.0F);    // the first momentum is the gradient
  EXPECT_EQ(step(), -0.75F);  // 1 + 0.5
  optimizer->set(Optimizer::Field::momentum, 0, 0);
  EXPECT_EQ(step(), -1.25F);
}

TEST(OptimizerTest, ASkippedStepChangesNothing) {
  for (const Case& each : cases()) {
    // In the first step too, where momentum begins, and for any sum of several optimizers' findings.
    for (const int steps_before : {0, 3}) {
      for (const double found : {1.0, 2.0, 0.5}) {
        const std::vector<at::Tensor> tensors = net();
        const auto optimizer = bound(each.recipe, tensors);
        for (int step = 0; step < steps_before; ++step) {
          give_gradients(optimizer->parameters(), step);
          optimizer->step();
        }
        const Tree before = save_state(*optimizer);
        const at::Tensor value = tensors[0].detach().clone();
        for (const at::Tensor& tensor : tensors) give_gradient(tensor, std::numeric_limits<double>::infinity());
        optimizer->step({.divisor = at::full({}, 4.0), .found_inf = at::full({}, found)});
        EXPECT_THAT(compare_states(before, save_state(*optimizer)), IsEmpty()) << each.name;
        EXPECT_TRUE(at::equal(tensors[0], value)) << each.name;
        EXPECT_EQ(tensors[0].grad().flatten()[0].item<float>(), std::numeric_limits<float>::infinity());
      }
    }
  }
}

TEST(OptimizerTest, AStepAfterASkippedFirstOneIsTheFirst) {
  for (const Case& each : cases()) {
    const std::vector<at::Tensor> tensors = net();
    const std::vector<at::Tensor> plain = net();
    const auto optimizer = bound(each.recipe, tensors);
    const auto other = bound(each.recipe, plain);
    for (const at::Tensor& tensor : tensors) give_gradient(tensor, std::nan(""));
    optimizer->step({.found_inf = at::ones({})});
    for (int step = 0; step < 3; ++step) {
      give_gradients(optimizer->parameters(), step);
      give_gradients(other->parameters(), step);
      optimizer->step({.found_inf = at::zeros({})});
      other->step();
    }
    for (size_t i = 0; i < tensors.size(); ++i) EXPECT_TRUE(at::equal(tensors[i], plain[i])) << each.name;
  }
}

TEST(OptimizerTest, ADivisorDividesTheGradientsAndTheyAreWrittenBack) {
  for (const Case& each : cases()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
      const at::Tensor scaled = at::ones({20}, dtype).requires_grad_();
      const at::Tensor plain = at::ones({20}, dtype).requires_grad_();
      const auto optimizer = bound(each.recipe, {scaled});
      const auto other = bound(each.recipe, {plain});
      // Powers of two, so that nothing is rounded. The divisor itself is not a number of float16.
      give_gradient(scaled, 16384);
      give_gradient(plain, 0.125);
      optimizer->step({.divisor = at::full({}, 131072.0)});
      other->step();
      EXPECT_TRUE(at::equal(scaled, plain)) << each.name << dtype;
      EXPECT_TRUE(at::equal(scaled.grad(), plain.grad())) << each.name << dtype;
    }
  }
}

TEST(OptimizerTest, AGradientScaleOfAnotherDtypeOrShapeIsRefused) {
  for (const Case& each : cases()) {
    const auto optimizer = bound(each.recipe, net());
    give_gradients(optimizer->parameters(), 1);
    auto parts = error_of([&] { optimizer->step({.divisor = at::ones({}, at::kDouble)}); });
    EXPECT_EQ(parts.what, "a part of a GradientScale has the wrong dtype or shape");
    EXPECT_THAT(parts.where, HasSubstr(", divisor"));
    EXPECT_EQ(parts.got, "float64 ()");
    EXPECT_THAT(error_of([&] { optimizer->step({.found_inf = at::ones({2})}); }).where, HasSubstr(", found_inf"));
  }
}

/// The change of a parameter of value 1 after two steps with gradient 0.5.
double moved(const Recipe& recipe, const GroupOptions& options) {
  const at::Tensor other = leaf({1});
  const at::Tensor tensor = leaf({1});
  const auto optimizer = recipe.on({{{{"other", other}}, {.lr = 0.7}}, {{{"tensor", tensor}}, options}});
  for (int step = 0; step < 2; ++step) {
    give_gradient(other, 1);
    give_gradient(tensor, 0.5);
    optimizer->step();
  }
  return 1 - tensor.item<double>();
}

double moved(const Recipe& recipe) { return moved(recipe, {}); }

TEST(OptimizerTest, AnOptionOfAGroupCountsAlsoWhenItEqualsADefault) {
  // The default weight decay of Adam and SGD is 0, that of AdamW 0.01; the default rate of all is 0.001.
  EXPECT_EQ(moved(Adam({.lr = 0.1, .weight_decay = 0.3}), {.weight_decay = 0}), moved(Adam({.lr = 0.1})));
  EXPECT_EQ(moved(AdamW({.lr = 0.1, .weight_decay = 0.3}), {.weight_decay = 0.01}), moved(AdamW({.lr = 0.1})));
  EXPECT_EQ(moved(AdamW({.lr = 0.1}), {.weight_decay = 0}), moved(AdamW({.lr = 0.1, .weight_decay = 0})));
  EXPECT_EQ(moved(SGD({.lr = 0.1, .weight_decay = 0.3}), {.weight_decay = 0}), moved(SGD({.lr = 0.1})));
  EXPECT_EQ(moved(SGD({.lr = 0.1, .momentum = 0.9}), {.momentum = 0}), moved(SGD({.lr = 0.1})));
  EXPECT_EQ(moved(Adam({.lr = 0.1, .betas = {0.5, 0.6}}), {.betas = {{0.9, 0.999}}}), moved(Adam({.lr = 0.1})));
  EXPECT_EQ(moved(Adam({.lr = 0.1, .eps = 0.5}), {.eps = 1e-8}), moved(Adam({.lr = 0.1})));
  for (const Recipe& recipe : {Recipe(Adam({.lr = 0.1})), Recipe(AdamW({.lr = 0.1})), Recipe(SGD({.lr = 0.1}))}) {
    const auto optimizer = recipe.on({{{{"a", leaf({1})}}, {}}, {{{"b", leaf({1})}}, {.lr = 1e-3}}});
    EXPECT_EQ(optimizer->groups(), 2U);
    EXPECT_EQ(optimizer->lr(0), 0.1);
    EXPECT_EQ(optimizer->lr(1), 1e-3);
  }
  EXPECT_NE(moved(SGD({.lr = 0.1}), {.lr = 1e-3}), moved(SGD({.lr = 0.1})));
  EXPECT_NE(moved(SGD({.lr = 0.1}), {.momentum = 0.9}), moved(SGD({.lr = 0.1})));
  EXPECT_NE(moved(AdamW({.lr = 0.1}), {.weight_decay = 0}), moved(AdamW({.lr = 0.1})));
}

TEST(OptimizerTest, AStepIsWhatTheFormulaSays) {
  EXPECT_NEAR(moved(SGD({.lr = 0.1})), 2 * 0.1 * 0.5, 1e-6);
  EXPECT_NEAR(moved(SGD({.lr = 0.1, .momentum = 0.9})), 0.1 * 0.5 + 0.1 * 0.5 * 1.9, 1e-6);
  EXPECT_NEAR(moved(SGD({.lr = 0.1, .maximize = true})), -0.1, 1e-6);
  EXPECT_NEAR(moved(Adam({.lr = 0.1})), 0.2, 1e-6);  // a constant gradient: each step is the rate
}

TEST(OptimizerTest, ANewRateCountsFromTheNextStepInItsGroupOnly) {
  const at::Tensor a = leaf({1});
  const at::Tensor b = leaf({1});
  const auto optimizer = SGD({.lr = 0.1}).on({{{{"a", a}}, {}}, {{{"b", b}}, {}}});
  optimizer->set_lr(1, 0.5);
  give_gradient(a, 1);
  give_gradient(b, 1);
  optimizer->step();
  EXPECT_FLOAT_EQ(a.item<float>(), 0.9F);
  EXPECT_FLOAT_EQ(b.item<float>(), 0.5F);
}

TEST(OptimizerTest, AParameterWithoutAGradientIsLeftAloneWithItsState) {
  for (const Case& each : cases()) {
    const std::vector<at::Tensor> tensors = net();
    const auto optimizer = bound(each.recipe, tensors);
    for (int step = 0; step < 2; ++step) {
      give_gradients(optimizer->parameters(), step);
      optimizer->step();
    }
    const at::Tensor value = tensors[1].detach().clone();
    const Tree before = save_state(*optimizer);
    give_gradients(optimizer->parameters(), 3);
    tensors[1].mutable_grad().reset();
    optimizer->step();
    const Tree after = save_state(*optimizer);
    EXPECT_TRUE(at::equal(tensors[1], value)) << each.name;
    EXPECT_THAT(compare_states(before["1"], after["1"]), IsEmpty()) << each.name;
    EXPECT_NE(tensors[0].flatten()[0].item<float>(), 0.5F);
    optimizer->zero_grad();
    optimizer->step();
    EXPECT_THAT(compare_states(after, save_state(*optimizer)), IsEmpty()) << each.name;
  }
}

TEST(OptimizerTest, ZeroGradTakesTheGradientsAway) {
  for (const Case& each : cases()) {
    const std::vector<at::Tensor> tensors = net();
    const auto optimizer = bound(each.recipe, tensors);
    give_gradients(optimizer->parameters(), 1);
    optimizer->zero_grad();
    for (const at::Tensor& tensor : tensors) EXPECT_FALSE(tensor.grad().defined());
  }
}

TEST(OptimizerTest, AClosureIsEvaluatedOnceAndItsLossReturned) {
  const at::Tensor tensor = leaf({1});
  const auto optimizer = SGD({.lr = 0.1}).on(std::vector<at::Tensor>{tensor});
  EXPECT_FALSE(optimizer->needs_closure());
  int calls = 0;
  const at::Tensor loss = optimizer->step([&] {
    ++calls;
    give_gradient(tensor, 1);
    return at::full({}, 3);
  });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(loss.item<float>(), 3);
  EXPECT_FLOAT_EQ(tensor.item<float>(), 0.9F);
}

TEST(OptimizerTest, AStepKeepsGradientModeAndMakesNoGraph) {
  const at::Tensor tensor = leaf({2});
  const auto optimizer = Adam().on(std::vector<at::Tensor>{tensor});
  give_gradient(tensor, 1);
  optimizer->step();
  EXPECT_TRUE(at::GradMode::is_enabled());
  EXPECT_TRUE(tensor.is_leaf());
  EXPECT_TRUE(tensor.requires_grad());
}

TEST(OptimizerTest, ASavedStateGoesOnBitForBit) {
  for (const Case& each : cases()) {
    const std::vector<at::Tensor> tensors = net();
    const auto optimizer = bound(each.recipe, tensors);
    for (int step = 0; step < 5; ++step) {
      give_gradients(optimizer->parameters(), step);
      if (step < 4) tensors[2].mutable_grad().reset();  // its first gradient comes late
      optimizer->step();
    }
    optimizer->set_lr(0, 0.05);
    const Tree saved = save_state(*optimizer);
    std::vector<at::Tensor> copies;
    for (const at::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone().requires_grad_());
    const auto fresh = bound(each.recipe, copies);
    load_state(*fresh, saved);
    EXPECT_EQ(fresh->lr(), 0.05);
    for (int step = 5; step < 10; ++step) {
      give_gradients(optimizer->parameters(), step);
      give_gradients(fresh->parameters(), step);
      optimizer->step();
      fresh->step();
    }
    for (size_t i = 0; i < tensors.size(); ++i) EXPECT_TRUE(at::equal(tensors[i], copies[i])) << each.name;
    EXPECT_THAT(compare_states(save_state(*optimizer), save_state(*fresh)), IsEmpty()) << each.name;
  }
}

TEST(OptimizerTest, ParametersKeepTheirAddressesAndASavedTreeIsUsedAgain) {
  for (const Case& each : cases()) {
    const std::vector<at::Tensor> tensors = net();
    const auto optimizer = bound(each.recipe, tensors);
    const void* address = tensors[0].const_data_ptr();
    Tree arena = save_state(*optimizer);
    std::vector<const void*> before;
    for (const at::Tensor& tensor : arena.tensors()) before.push_back(tensor.const_data_ptr());
    give_gradients(optimizer->parameters(), 1);
    optimizer->step();
    load_state(*optimizer, arena);
    optimizer->step();
    save_state(*optimizer, arena);
    std::vector<const void*> after;
    for (const at::Tensor& tensor : arena.tensors()) after.push_back(tensor.const_data_ptr());
    EXPECT_EQ(after, before);
    EXPECT_EQ(tensors[0].const_data_ptr(), address);
  }
}

TEST(OptimizerTest, TheStateLiesUnderTheNamesOfTheParametersAsInPython) {
  const std::vector<at::Tensor> tensors{leaf({2})};
  const auto adam = Adam({.amsgrad = true}).on(ParameterGroups{{{{"layer.weight", tensors[0]}}, {}}});
  EXPECT_THAT(
      list_state(save_state(*adam)),
      ElementsAre("param_groups.0.lr  0.0010", "param_groups.0.beta1  0.9000", "param_groups.0.beta2  0.9990",
                  "param_groups.0.eps  1.000e-08", "param_groups.0.weight_decay  0", "param_groups.0.amsgrad  true",
                  "param_groups.0.maximize  false", "param_groups.0.decoupled_weight_decay  false",
                  "layer.weight.step  float32 ()", "layer.weight.exp_avg  float32 (2)",
                  "layer.weight.exp_avg_sq  float32 (2)", "layer.weight.max_exp_avg_sq  float32 (2)"));
  const auto sgd = SGD({.momentum = 0.9}).on(ParameterGroups{{{{"layer.weight", tensors[0]}}, {}}});
  EXPECT_THAT(list_state(save_state(*sgd)), ::testing::Contains("layer.weight.momentum_buffer  float32 (2)"));
}

TEST(OptimizerTest, AParameterMayHaveAnyName) {
  for (const Case& each : cases()) {
    const auto optimizer =
        each.recipe.on({{{{"group0", leaf({2})}, {"lr", leaf({2})}, {"param_groups", leaf({1})}}, {}}});
    const Tree saved = save_state(*optimizer);
    load_state(*optimizer, saved);
    EXPECT_THAT(compare_states(saved, save_state(*optimizer)), IsEmpty());
  }
}

TEST(OptimizerTest, TheStateOfOtherParametersIsRefusedAndNothingChanged) {
  for (const Case& each : cases()) {
    const auto optimizer = bound(each.recipe, net());
    const auto other = bound(each.recipe, {leaf({3, 2}), leaf({5})});
    other->set_lr(0, 0.9);
    const Tree before = save_state(*optimizer);
    const auto parts = error_of([&] { load_state(*optimizer, save_state(*other)); });
    EXPECT_THAT(parts.got, HasSubstr("missing: 2"));
    EXPECT_THAT(compare_states(before, save_state(*optimizer)), IsEmpty());
  }
}

TEST(OptimizerTest, HalfPrecisionAndMixedTypesAreTrained) {
  for (const Case& each : cases()) {
    const at::Tensor half = at::ones({3}, at::kBFloat16).requires_grad_();
    const at::Tensor exact = at::ones({3}, at::kDouble).requires_grad_();
    const auto optimizer = bound(each.recipe, {half, exact});
    give_gradient(half, 1);
    give_gradient(exact, 1);
    optimizer->step();
    EXPECT_LT(half[0].item<float>(), 1) << each.name;
    EXPECT_LT(exact[0].item<double>(), 1) << each.name;
  }
}

TEST(OptimizerTest, DescribesItself) {
  EXPECT_EQ(Adam().describe(), "Adam(lr 0.001)");
  EXPECT_EQ(AdamW({.lr = 0.5}).describe(), "AdamW(lr 0.5)");
  EXPECT_EQ(SGD({.lr = 1, .momentum = 0.9}).describe(), "SGD(lr 1, momentum 0.9)");
  EXPECT_EQ(bound(Adam(), net())->describe(), "Adam(lr 0.001)");
  EXPECT_EQ(Recipe(AdamW()).describe(), "AdamW(lr 0.001)");
  EXPECT_FALSE(Recipe().defined());
}

}  // namespace
}  // namespace athanor::optimizer_test
