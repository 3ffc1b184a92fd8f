// SPDX-License-Identifier: Apache-2.0
// Losses: what is refused and how, NaN, weights, half precision, and losses that have parameters.
#include "athanor/nn/losses.hpp"

#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <limits>
#include <map>

#include "athanor/model.hpp"
#include "athanor/optim/adam.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::losses_test {
namespace {

using ::testing::HasSubstr;
using torch::Tensor;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Tensor ones(std::vector<int64_t> shape) { return torch::ones(shape); }
Tensor labels(std::vector<int64_t> values) { return torch::tensor(values); }

/// Every loss with predictions and a target that it takes.
struct Example {
  Loss loss;
  Tree predictions;
  Tree target;
};

std::map<std::string, Example> examples() {
  torch::manual_seed(3);
  const Tensor logits = torch::randn({4, 3}), numbers = labels({0, 2, 1, 0});
  const Tensor image = torch::randn({2, 3, 4}), mask = labels({0, 2, 1, 0, 1, 1, 0, 0}).view({2, 4});
  const Tensor boxes = torch::tensor({{0., 0., 2., 2.}, {1., 1., 4., 3.}});
  return {
      {"focal", {loss::Focal(), logits, numbers}},
      {"binary focal", {loss::BinaryFocal(), logits, (logits > 0).to(torch::kLong)}},
      {"smoothed cross entropy", {loss::SmoothedCrossEntropy(), logits, numbers}},
      {"dice", {loss::Dice(), image, mask}},
      {"dice of masks", {loss::Dice({.classes = loss::Classes::independent}), image, (image > 0).to(torch::kFloat)}},
      {"tversky", {loss::Tversky({.focus = 0.75}), image, mask}},
      {"lovasz", {loss::Lovasz(), image, mask}},
      {"lovasz hinge", {loss::Lovasz({.classes = loss::Classes::independent}), image, (image > 0.5).to(torch::kFloat)}},
      {"info nce", {loss::InfoNCE(), logits, logits + 0.1 * torch::randn({4, 3})}},
      {"nt-xent", {loss::InfoNCE({.contrast = loss::Contrast::all_views}), Tree(std::vector{logits, -logits}), {}}},
      {"hard triplets", {loss::Triplet(), logits / 16, numbers}},
      {"semi-hard triplets", {loss::Triplet({.mining = loss::Mining::batch_semi_hard}), logits / 16, numbers}},
      {"all triplets", {loss::Triplet({.mining = loss::Mining::batch_all}), logits / 16, numbers}},
      {"quantile", {loss::Quantile({.quantiles = {0.1, 0.5, 0.9}}), logits, torch::randn({4})}},
      {"boxes", {loss::BoxOverlap({.kind = loss::BoxKind::ciou}), boxes + 0.25, boxes}},
      {"ctc", {loss::CTC(), image, labels({1, 2, 1, -1}).view({2, 2})}},
      {"distillation", {loss::Distillation(), logits, {{"label", numbers}, {"teacher", -logits}}}},
  };
}

TEST(Losses, AreScalarsThatAreDifferentiableAndFinite) {
  for (auto& [name, example] : examples()) {
    SCOPED_TRACE(name);
    std::vector<Tensor> leaves = example.predictions.tensors();
    for (Tensor& leaf : leaves) leaf.requires_grad_();
    const Tensor value = example.loss(example.predictions, example.target);
    EXPECT_EQ(value.dim(), 0);
    EXPECT_EQ(value.scalar_type(), torch::kFloat);
    EXPECT_GT(value.item<double>(), 0);
    value.backward();
    for (const Tensor& leaf : leaves) {
      EXPECT_TRUE(leaf.grad().isfinite().all().item<bool>());
      EXPECT_GT(leaf.grad().abs().sum().item<double>(), 0);
    }
  }
}

// A broken net must not look like a perfect one: comparisons with NaN are false, and so drop terms.
TEST(Losses, APredictionThatIsNanGivesALossThatIsNan) {
  for (auto& [name, example] : examples()) {
    SCOPED_TRACE(name);
    for (const Tensor& tensor : example.predictions.tensors()) tensor.view(-1)[1].fill_(nan);
    EXPECT_TRUE(std::isnan(example.loss(example.predictions, example.target).item<double>()));
  }
}

TEST(Losses, HalfPrecisionIsComputedInFloat32) {
  for (auto& [name, example] : examples()) {
    SCOPED_TRACE(name);
    const Tree half = example.predictions.map([](const Tensor& tensor) { return tensor.to(torch::kBFloat16); });
    const Tree wide = half.map([](const Tensor& tensor) { return tensor.to(torch::kFloat); });
    const Tensor expected = example.loss(wide, example.target);
    EXPECT_TRUE(torch::equal(example.loss(half, example.target), expected));
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, torch::kBFloat16);
    const Tensor under_autocast = example.loss(wide, example.target);
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    EXPECT_TRUE(torch::equal(under_autocast, expected));
  }
}

TEST(Losses, DoubleStaysDouble) {
  for (auto& [name, example] : examples()) {
    const Tree wide = example.predictions.map([](const Tensor& tensor) { return tensor.to(torch::kDouble); });
    EXPECT_EQ(example.loss(wide, example.target).scalar_type(), torch::kDouble) << name;
  }
}

TEST(Losses, IntegerPredictionsAreRefused) {
  for (auto& [name, example] : examples()) {
    const Tree whole = example.predictions.map([](const Tensor& tensor) { return tensor.to(torch::kInt); });
    const auto parts = error_of([&, &example = example] { return example.loss(whole, example.target); });
    EXPECT_EQ(parts.what, "a loss needs predictions of a floating dtype") << name;
  }
}

TEST(Losses, ElementsHaveTheirMeanInTheLoss) {
  for (const char* name : {"focal", "binary focal", "smoothed cross entropy", "quantile", "boxes"}) {
    Example example = examples().at(name);
    const Tensor whole = example.loss(example.predictions, example.target);
    const int64_t samples = example.predictions.tensor().size(0);
    EXPECT_NEAR(
        example.loss.weighted(example.predictions, example.target, torch::full({samples}, 2.0), {}).item<double>(),
        2 * whole.item<double>(), 1e-6)
        << name;
  }
  const Example dice = examples().at("dice");
  EXPECT_THAT(error_of([&] { return dice.loss.weighted(dice.predictions, dice.target, torch::ones({2}), {}); }).what,
              HasSubstr("can't be weighted"));
}

TEST(Losses, ClassNumbersOutOfRangeAreNamed) {
  const Tensor target = labels({0, 2, 3, 0, -100, 7, 0, 0}).view({2, 4});
  const std::map<std::string, Loss> losses{{"loss::Focal", loss::Focal()},
                                           {"loss::SmoothedCrossEntropy", loss::SmoothedCrossEntropy()},
                                           {"loss::Dice", loss::Dice()},
                                           {"loss::Tversky", loss::Tversky()},
                                           {"loss::Lovasz", loss::Lovasz()}};
  for (const auto& [name, loss] : losses) {
    const auto parts = error_of([&, &loss = loss] { return loss(ones({2, 3, 4}), target); });
    EXPECT_EQ(parts.what, "a value of the target is out of range");
    EXPECT_EQ(parts.where, name + ", target[0, 2]");
    EXPECT_EQ(parts.got, "3; 2 values in all");
    EXPECT_EQ(parts.expected, "class numbers from 0 to 2, or -100 for what does not count");
    const auto shapes = error_of([&, &loss = loss] { return loss(ones({2, 3, 4}), labels({0, 1})); });
    EXPECT_EQ(shapes.what, "the target does not fit the predictions");
    EXPECT_EQ(shapes.got, "float32 (2, 3, 4) and int64 (2)");
    const auto single = error_of([&, &loss = loss] { return loss(ones({2, 1}), labels({0, 0})); });
    EXPECT_EQ(single.what, "a loss of classes has no two of them to choose from") << "softmax of one logit is 1";
  }
}

TEST(Losses, WhatDoesNotCountAtAllIsNotZero) {
  const Tensor nothing = torch::full({2, 4}, -100, torch::kLong);
  EXPECT_TRUE(std::isnan(loss::Focal()(ones({2, 3, 4}), nothing).item<double>()));
  EXPECT_TRUE(std::isnan(loss::SmoothedCrossEntropy()(ones({2, 3, 4}), nothing).item<double>()));
  EXPECT_TRUE(std::isnan(loss::Lovasz()(ones({2, 3, 4}), nothing).item<double>()));
  EXPECT_TRUE(std::isnan(loss::Dice({.absent = loss::Absent::left_out})(ones({2, 3, 4}), nothing).item<double>()));
}

TEST(Losses, IgnoredPlacesHaveNoInfluence) {
  torch::manual_seed(1);
  Tensor target = torch::randint(0, 3, {2, 6});
  target[0][2] = 255;
  target[1][5] = 255;
  Tensor logits = torch::randn({2, 3, 6});
  const std::vector<Loss> losses{loss::Focal({.ignore_index = 255}), loss::SmoothedCrossEntropy({.ignore_index = 255}),
                                 loss::Dice({.ignore_index = 255}), loss::Tversky({.ignore_index = 255}),
                                 loss::Lovasz({.per_sample = true, .ignore_index = 255})};
  for (const Loss& loss : losses) {
    EXPECT_FALSE(loss.target_is_class_index()) << "what a Model checks knows -100 only";
    Tensor x = logits.clone().requires_grad_();
    const Tensor before = loss(x, target);
    before.backward();
    EXPECT_EQ(x.grad().select(2, 2)[0].abs().sum().item<double>(), 0);
    Tensor changed = logits.clone();
    changed.select(2, 2)[0].add_(5);
    changed.select(2, 5)[1].mul_(-3);
    EXPECT_TRUE(torch::equal(loss(changed, target), before.detach()));
  }
}

TEST(Losses, TargetsThatAreNoProbabilitiesAreRefused) {
  auto parts = error_of([] { return loss::BinaryFocal()(ones({2, 2}), torch::tensor({{0., 1.}, {nan, 0.5}})); });
  EXPECT_EQ(parts.where, "loss::BinaryFocal, target[1, 0]");
  EXPECT_EQ(parts.got, "nan");
  EXPECT_EQ(parts.expected, "from 0 to 1");
  parts = error_of([] { return loss::SmoothedCrossEntropy()(ones({2, 2}), torch::tensor({{0.5, 0.5}, {0.5, 0.25}})); });
  EXPECT_EQ(parts.where, "loss::SmoothedCrossEntropy, sum over the classes of the target[1]");
  EXPECT_EQ(parts.got, "0.75");
  parts = error_of([] {
    return loss::Dice({.classes = loss::Classes::independent})(ones({1, 1, 2}), 2 * ones({1, 1, 2}));
  });
  EXPECT_EQ(parts.got, "2; 2 values in all");
  parts = error_of([] {
    return loss::Lovasz({.classes = loss::Classes::independent})(ones({1, 1, 2}), torch::tensor({{{0.5, 1.}}}));
  });
  EXPECT_EQ(parts.expected, "0 or 1");
  EXPECT_EQ(error_of([] {
              return loss::Dice()(ones({4}), labels({0, 0, 0, 0}));
            }).what,
            "a loss of overlap needs a channel for each class");
}

TEST(Losses, OptionsOutOfRangeAreRefused) {
  const std::map<std::string, std::function<void()>> wrong{
      {"FocalOptions::gamma", [] { loss::Focal({.gamma = -1}); }},
      {"FocalOptions::alpha",
       [] {
         loss::Focal({.alpha = {1, -1}});
       }},
      {"BinaryFocalOptions::gamma", [] { loss::BinaryFocal({.gamma = nan}); }},
      {"BinaryFocalOptions::alpha", [] { loss::BinaryFocal({.alpha = 2}); }},
      {"SmoothedCrossEntropyOptions::smoothing", [] { loss::SmoothedCrossEntropy({.smoothing = 1.5}); }},
      {"DiceOptions::smooth", [] { loss::Dice({.smooth = -1}); }},
      {"TverskyOptions::focus", [] { loss::Tversky({.focus = 0}); }},
      {"TverskyOptions::false_negatives", [] { loss::Tversky({.false_negatives = -1}); }},
      {"InfoNCEOptions::temperature", [] { loss::InfoNCE({.temperature = 0}); }},
      {"TripletOptions::margin", [] { loss::Triplet({.margin = -0.1}); }},
      {"QuantileOptions::quantiles",
       [] {
         loss::Quantile({.quantiles = {0.5, 1}});
       }},
      {"BoxOverlapOptions::eps", [] { loss::BoxOverlap({.eps = 0}); }},
      {"CTCOptions::blank", [] { loss::CTC({.blank = -1}); }},
      {"DistillationOptions::temperature", [] { loss::Distillation({.temperature = 0}); }},
      {"DistillationOptions::teacher", [] { loss::Distillation({.teacher = 1.5}); }}};
  for (const auto& [where, make] : wrong) {
    const auto parts = error_of([&make = make] {
      make();
      return 0;
    });
    EXPECT_EQ(parts.what, "an option of a loss is out of range") << where;
    EXPECT_EQ(parts.where, where);
  }
  EXPECT_EQ(error_of([] { return loss::Focal({.alpha = {1, 2}})(ones({2, 3}), labels({0, 1})); }).expected, "3");
}

TEST(Losses, ABatchWithoutATripletIsRefused) {
  const loss::Triplet triplet;
  auto parts = error_of([&] { return triplet(ones({3, 2}), labels({4, 4, 4})); });
  EXPECT_EQ(parts.what, "a batch has no triplet");
  EXPECT_EQ(parts.got, "3 samples, all of class 4");
  parts = error_of([&] { return triplet(ones({3, 2}), labels({0, 1, 2})); });
  EXPECT_EQ(parts.got, "3 samples, no two of one class");
  EXPECT_EQ(error_of([&] { return triplet(ones({1, 2}), labels({0})); }).got, "1 samples, all of class 0");
  EXPECT_EQ(error_of([&] { return triplet(ones({3, 2}), ones({3})); }).got, "float32 (3, 2) and float32 (3)");
  // All far enough apart is a loss of 0 that is meant.
  const Tensor far = torch::tensor({{0., 0.}, {0., 0.1}, {9., 9.}, {9., 9.1}});
  for (const auto mining : {loss::Mining::batch_hard, loss::Mining::batch_semi_hard, loss::Mining::batch_all}) {
    EXPECT_EQ(loss::Triplet({.mining = mining})(far, labels({0, 0, 1, 1})).item<double>(), 0);
  }
}

TEST(Losses, EqualEmbeddingsHaveAFiniteGradient) {
  for (const auto mining : {loss::Mining::batch_hard, loss::Mining::batch_semi_hard, loss::Mining::batch_all}) {
    for (const auto distance : {loss::Distance::euclidean, loss::Distance::squared_euclidean, loss::Distance::cosine}) {
      Tensor x = torch::zeros({4, 3}).requires_grad_();
      const Tensor value = loss::Triplet({.mining = mining, .distance = distance})(x, labels({0, 0, 1, 1}));
      EXPECT_NEAR(value.item<double>(), 0.2, 1e-6);
      value.backward();
      EXPECT_TRUE(x.grad().isfinite().all().item<bool>());
    }
  }
}

TEST(Losses, InfoNceNeedsSomethingToTellApart) {
  auto parts = error_of([] { return loss::InfoNCE()(ones({1, 3}), ones({1, 3})); });
  EXPECT_EQ(parts.what, "InfoNCE has nothing to tell a sample from");
  EXPECT_GT(loss::InfoNCE()(Tree(std::vector{ones({1, 3}), ones({1, 3}), ones({2, 3})}), {}).item<double>(), 1);
  parts = error_of([] { return loss::InfoNCE()(ones({2, 3}), ones({3, 3})); });
  EXPECT_EQ(parts.got, "float32 (2, 3) and float32 (3, 3)");
}

TEST(Losses, TargetsOfRegressionMustBeFinite) {
  const loss::Quantile quantile({.quantiles = {0.1, 0.9}});
  auto parts = error_of([&] { return quantile(ones({2, 2}), torch::tensor({1., nan})); });
  EXPECT_EQ(parts.where, "loss::Quantile, target[1]");
  EXPECT_EQ(parts.expected, "finite numbers");
  parts = error_of([&] { return quantile(ones({2, 3}), ones({2})); });
  EXPECT_EQ(parts.expected, "predictions (N, …, 2) for targets (N, …)");
}

TEST(Losses, BoxesThatAreNoneAreRefused) {
  const Tensor good = torch::tensor({{0., 0., 2., 2.}, {1., 1., 4., 3.}});
  Tensor swapped = good.clone();
  swapped[1][2] = 0.5;
  auto parts = error_of([&] { return loss::BoxOverlap()(good, swapped); });
  EXPECT_EQ(parts.what, "a target box has a negative width or height");
  EXPECT_EQ(parts.where, "loss::BoxOverlap, target[1]");
  EXPECT_EQ(parts.got, "1, 1, 0.5, 3");
  swapped[1][2] = nan;
  EXPECT_EQ(error_of([&] { return loss::BoxOverlap()(good, swapped); }).where, "loss::BoxOverlap, target[1, 2]");
  EXPECT_EQ(error_of([&] { return loss::BoxOverlap()(ones({2, 5}), ones({2, 5})); }).what, "a box has four numbers");
  EXPECT_EQ(error_of([&] { return loss::BoxOverlap()(ones({0, 4}), ones({0, 4})); }).got, "float32 (0, 4)");
  EXPECT_EQ(error_of([&] {
              return loss::BoxOverlap()(ones({2, 4}), ones({1, 4}));
            }).got,
            "float32 (2, 4) and float32 (1, 4)");
  // Predicted corners may be swapped: such a box has no area, and a gradient that is finite.
  for (const auto kind : {loss::BoxKind::iou, loss::BoxKind::giou, loss::BoxKind::diou, loss::BoxKind::ciou}) {
    Tensor point = torch::tensor({{3., 3., 1., 1.}, {1., 1., 1., 1.}}).requires_grad_();
    const Tensor value = loss::BoxOverlap({.kind = kind})(point, good);
    EXPECT_GE(value.item<double>(), 0.9);
    value.backward();
    EXPECT_TRUE(point.grad().isfinite().all().item<bool>());
  }
}

TEST(Losses, CtcChecksWhatWouldBeInfinite) {
  const loss::CTC ctc;
  const Tensor x = torch::randn({2, 3, 4});
  EXPECT_GT(ctc(x, labels({1, 2, 1, 1, 1, -1}).view({2, 3})).item<double>(), 0);
  auto parts = error_of([&] { return ctc(x, labels({1, 2, 1, 1, 1, 2}).view({2, 3})); });
  EXPECT_EQ(parts.what, "a sequence is too short for its labels") << "1 1 2 needs a blank between";
  EXPECT_EQ(parts.where, "loss::CTC, row 1 of the batch");
  EXPECT_EQ(parts.got, "3 steps for 3 labels, 1 of them equal to the one before");
  EXPECT_EQ(parts.expected, "4 steps at least");
  parts = error_of([&] { return ctc(x, labels({1, 2, 0, 3, 4, 1}).view({2, 3})); });
  EXPECT_EQ(parts.what, "a label is the blank");
  EXPECT_EQ(parts.where, "loss::CTC, row 0 of the batch, label 2");
  EXPECT_EQ(error_of([&] { return ctc(x, labels({1, 2, 3, 3, 4, 1}).view({2, 3})); }).got, "4");
  parts = error_of([&] { return ctc(Tree::list({x, labels({3, 5})}), labels({1, 2}).view({2, 1})); });
  EXPECT_EQ(parts.what, "a length of the predictions is out of range");
  EXPECT_EQ(parts.got, "5");
  parts = error_of([&] { return ctc(x, {{"labels", labels({1, 2}).view({2, 1})}, {"lengths", labels({1})}}); });
  EXPECT_EQ(parts.expected, "integers (2)");
  EXPECT_EQ(error_of([&] { return ctc(x, labels({1, 2})); }).got, "float32 (2, 3, 4) and int64 (2)");
  EXPECT_EQ(error_of([&] {
              return loss::CTC({.blank = 4})(x, labels({1, 2}).view({2, 1}));
            }).where,
            "CTCOptions::blank");
}

TEST(Losses, DistillationFindsItsTeacherInEitherTree) {
  const loss::Distillation loss({.temperature = 2, .teacher = 0.75});
  const Tensor student = torch::randn({3, 4}), teacher = torch::randn({3, 4}).requires_grad_(), y = labels({0, 3, 1});
  const Tensor one = loss({{"student", student}, {"teacher", teacher}}, y);
  EXPECT_TRUE(torch::equal(one, loss(student, {{"label", y}, {"teacher", teacher}})));
  EXPECT_FALSE(one.requires_grad()) << "no gradient for the teacher";
  EXPECT_NEAR(loss::Distillation({.teacher = 1})({{"student", student}, {"teacher", student}}, {}).item<double>(), 0,
              1e-6);
  EXPECT_EQ(error_of([&] { return loss(student, y); }).what, "distillation finds no teacher");
  const auto parts = error_of([&] { return loss({{"student", student}, {"teacher", teacher}}, {}); });
  EXPECT_EQ(parts.what, "distillation finds no label");
}

struct TwoHeads : torch::nn::Module {
  TwoHeads() {
    torch::manual_seed(5);
    x = register_module("x", torch::nn::Linear(2, 1));
    label = register_module("label", torch::nn::Linear(2, 3));
  }
  Tree forward(const Tree& input) { return {{"x", x(input.tensor())}, {"label", label(input.tensor())}}; }
  torch::nn::Linear x = nullptr, label = nullptr;
};

TEST(Losses, UncertaintiesAreTrainedWithTheNet) {
  const Tensor input = torch::randn({60, 2});
  const Tree target = {{"x", input.sum(1, true) + 3 * torch::randn({60, 1})},
                       {"label", (input.select(1, 0) > 0).to(torch::kLong)}};
  const loss::UncertaintyWeighted loss({{"x", loss::mse}, {"label", loss::cross_entropy, loss::Noise::softmax}});
  auto net = std::make_shared<TwoHeads>();
  Model model(net, {.loss = loss, .optimizer = optim::Adam({.lr = 0.05})});
  FitOptions options{.epochs = 30, .verbosity = Verbosity::silent, .host = HostOptions::untouched()};
  options.restore_best = RestoreBest::never;
  model.fit({Tree(input), target}, options);
  const Tensor s = loss.log_variance().detach();
  EXPECT_GT(s[0].item<double>(), 0.3) << "a noisy task weighs less";
  EXPECT_LT(s[1].item<double>(), s[0].item<double>());
  ASSERT_EQ(model.task().nets().size(), 2u);
  EXPECT_EQ(model.task().nets()[1].name, "loss");
  const auto names = named_tensors(model.task().nets());
  EXPECT_EQ(names.back().first, "loss.log_variance");
}

TEST(Losses, AModuleWithoutParametersIsNoNet) {
  Model model(torch::nn::Linear(2, 2), {.loss = torch::nn::SmoothL1Loss()});
  EXPECT_EQ(model.task().nets().size(), 1u);
}

TEST(Losses, TasksOfASumAreChecked) {
  EXPECT_EQ(error_of([] { return loss::UncertaintyWeighted({}); }).what, "a sum of losses has no task");
  EXPECT_EQ(error_of([] {
              return loss::UncertaintyWeighted({{"a", loss::mse}, {"a", loss::mse}});
            }).what,
            "two tasks have one name");
  EXPECT_EQ(error_of([] { return loss::UncertaintyWeighted({{"a", Loss()}}); }).what, "a task has no loss");
  const loss::UncertaintyWeighted sum({{"a", loss::mse}, {"b", loss::mae}});
  const Tensor x = ones({2, 1});
  const auto parts = error_of([&] { return sum({{"a", x}, {"b", x}}, {{"a", x}}); });
  EXPECT_EQ(parts.what, "a task is not among the targets");
  EXPECT_EQ(parts.where, "loss::UncertaintyWeighted, task b");
  EXPECT_EQ(sum(Tree::list({x, x}), Tree::list({x, x})).item<double>(), 0);
}

}  // namespace
}  // namespace athanor::testing::losses_test
