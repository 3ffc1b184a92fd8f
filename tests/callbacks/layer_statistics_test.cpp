// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/layer_statistics.hpp"

#include <ATen/record_function.h>

#include <cmath>
#include <map>
#include <random>

#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::layer_statistics_test {
namespace {

using namespace literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::shared_ptr<LayerStatistics> each_step(LayerStatisticsOptions options = {}) {
  options.every = 1_steps;
  return std::make_shared<LayerStatistics>(std::move(options));
}

std::vector<std::string> names_of(const LayerReport& layer) {
  std::vector<std::string> names;
  for (const ActivationReport& each : layer.activations) names.push_back(each.name);
  return names;
}

/// A perceptron with functions of its own forward(): of six hidden units two are dead and one is at an end of tanh.
struct Perceptron : torch::nn::Module {
  Perceptron() {
    torch::manual_seed(3);
    first = register_module("first", torch::nn::Linear(4, 6));
    second = register_module("second", torch::nn::Linear(6, 5));
    out = register_module("out", torch::nn::Linear(5, 3));
    const torch::NoGradGuard no_grad;
    first->bias.index_put_({torch::tensor({1, 4})}, -1000.0);
    second->bias.index_put_({torch::tensor({2})}, 1000.0);
  }
  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor hidden = first(x);
    return out(torch::tanh(second(hidden.relu_())));
  }
  torch::nn::Linear first = nullptr, second = nullptr, out = nullptr;
};

struct PerceptronTask : Task {
  std::shared_ptr<Perceptron> net = register_net("net", std::make_shared<Perceptron>());
  StepOutput training_step(const Batch& batch, StepContext&) override {
    inputs.push_back(batch.input.tensor());
    return torch::cross_entropy_loss(net->forward(batch.input.tensor()), batch.target.tensor());
  }
  Optimizers configure_optimizers() override { return optim::SGD({.lr = 0.1}).on(parameters()); }
  std::vector<torch::Tensor> inputs;
};

void expect_statistics(const TensorStatistics& found, const torch::Tensor& tensor) {
  const torch::Tensor numbers = tensor.detach().to(torch::kDouble);
  // Both in float64; the sums differ in their order.
  const double scale = numbers.abs().max().item<double>();
  EXPECT_EQ(found.count, numbers.numel());
  EXPECT_NEAR(found.mean, numbers.mean().item<double>(), 1e-12 * scale);
  EXPECT_NEAR(found.standard_deviation, numbers.std(/*unbiased=*/false).item<double>(), 1e-7 * scale);
  EXPECT_EQ(found.minimum, numbers.min().item<double>());
  EXPECT_EQ(found.maximum, numbers.max().item<double>());
  EXPECT_NEAR(found.norm, numbers.norm().item<double>(), 1e-12 * scale * static_cast<double>(numbers.numel()));
  EXPECT_EQ(found.zeros, numbers.eq(0).to(torch::kDouble).mean().item<double>());
}

TEST(LayerStatistics, WeightsGradientsAndRatiosAreThoseOfTheUpdate) {
  PerceptronTask task;
  const auto statistics = each_step();
  std::vector<std::map<std::string, torch::Tensor>> before, gradients, after;
  const auto copy = [&](auto&& what) {
    std::map<std::string, torch::Tensor> all;
    for (const auto& item : task.net->named_parameters()) all[item.key()] = what(item.value()).detach().clone();
    return all;
  };
  const At begin(Moment::optimizer_begin, [&](Trainer&, MomentInfo&) {
    before.push_back(copy([](const torch::Tensor& weight) { return weight; }));
    gradients.push_back(copy([](const torch::Tensor& weight) { return weight.grad(); }));
  });
  const At end(Moment::step_end, [&](Trainer&, MomentInfo&) {
    after.push_back(copy([](const torch::Tensor& weight) { return weight; }));
  });
  TrainerOptions options = quiet(3_steps, {statistics, begin, end});
  options.clip = Clip{.norm = 1e-3};  // the gradients are those before it
  Trainer(options).fit(task, data_of(clouds(16)));
  ASSERT_EQ(statistics->history().size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const LayerSnapshot& snapshot = statistics->history()[i];
    EXPECT_EQ(snapshot.step, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(snapshot.epoch, 1);
    double squares = 0;
    for (const char* name : {"first", "second", "out"}) {
      const LayerReport& layer = snapshot[name];
      EXPECT_EQ(layer.type, "Linear");
      ASSERT_EQ(layer.parameters.size(), 2u);
      for (const ParameterReport& each : layer.parameters) {
        SCOPED_TRACE(each.name);
        expect_statistics(*each.weights, after[i][each.name]);
        expect_statistics(*each.gradients, gradients[i][each.name]);
        const torch::Tensor was = before[i][each.name].to(torch::kDouble);
        const double ratio = ((after[i][each.name].to(torch::kDouble) - was).norm() / was.norm()).item<double>();
        EXPECT_NEAR(*each.update_ratio, ratio, 1e-12 * ratio);
        squares += each.gradients->norm * each.gradients->norm;
      }
    }
    EXPECT_DOUBLE_EQ(snapshot.gradient_norm, std::sqrt(squares));
    EXPECT_GT(snapshot.update_ratio, 0);
  }
}

// Others look at the first sample of the batch only.
TEST(LayerStatistics, ActivationsAreOfAllSamplesAndMicroBatches) {
  PerceptronTask task;
  const auto statistics = each_step();
  TrainerOptions options = quiet(1_steps, {statistics});
  options.accumulate = 3;
  const torch::nn::Linear first = std::dynamic_pointer_cast<torch::nn::LinearImpl>(task.net->first->clone());
  const torch::nn::Linear second = std::dynamic_pointer_cast<torch::nn::LinearImpl>(task.net->second->clone());
  Trainer(options).fit(task, data_of(clouds(12)));
  const torch::NoGradGuard no_grad;
  // The first batch is that of the rehearsal when there is one; the last three are those of the update.
  ASSERT_GE(task.inputs.size(), 3u);
  const std::vector<torch::Tensor> window(task.inputs.end() - 3, task.inputs.end());
  ASSERT_EQ(torch::cat(window).size(0), 12);
  std::vector<torch::Tensor> sums, rectified, ends;
  for (const torch::Tensor& input : window) {
    torch::nn::Linear one = first, two = second;
    sums.push_back(one(input));
    rectified.push_back(torch::relu(sums.back()));
    ends.push_back(torch::tanh(two(rectified.back())));
  }
  const LayerSnapshot& last = statistics->last();
  ASSERT_THAT(names_of(last["first"]), ElementsAre("first", "first:relu"));
  expect_statistics(last["first"].activations[0].values, torch::cat(sums));  // before relu_ wrote over it
  expect_statistics(last["first"].activations[1].values, torch::cat(rectified));
  ASSERT_THAT(names_of(last["second"]), ElementsAre("second", "second:tanh"));
  expect_statistics(last["second"].activations[1].values, torch::cat(ends));
  EXPECT_THAT(names_of(last["out"]), ElementsAre("out"));
}

TEST(LayerStatistics, DeadAndSaturatedUnits) {
  PerceptronTask task;
  const auto statistics = each_step();
  Trainer(quiet(1_steps, {statistics})).fit(task, data_of(clouds(12)));
  const LayerSnapshot& last = statistics->last();
  const ActivationReport& relu = last["first"].activations[1];
  EXPECT_EQ(relu.units, 6);
  EXPECT_GE(relu.dead, 2);
  EXPECT_EQ(relu.saturated, 0);
  const ActivationReport& tanh = last["second"].activations[1];
  EXPECT_EQ(tanh.units, 5);
  EXPECT_EQ(tanh.dead, 0);
  EXPECT_EQ(tanh.saturated, 1);
  EXPECT_EQ(last["first"].activations[0].dead, 0);  // before relu nothing is zero
  EXPECT_NEAR(last.dead_units, static_cast<double>(relu.dead + 1) / (6 + 6 + 5 + 5 + 3), 1e-15);
}

TEST(LayerStatistics, LayersWithoutParametersAreFoundAndUnitsOfImagesAreTheirChannels) {
  using namespace torch::nn;
  struct Images : Task {
    Sequential net = register_net("net", Sequential(Conv2d(Conv2dOptions(1, 4, 3)), BatchNorm2d(4), ReLU(),
                                                    MaxPool2d(2), Flatten(), Linear(16, 6), Sigmoid(), Linear(6, 3)));
    Images() {
      const torch::NoGradGuard no_grad;
      net[1]->as<BatchNorm2d>()->bias.index_put_({torch::tensor({0, 2, 3})}, -100.0);
      net[5]->as<Linear>()->bias.index_put_({torch::tensor({1})}, -100.0);
    }
    StepOutput training_step(const Batch& batch, StepContext&) override {
      return torch::cross_entropy_loss(net->forward(batch.input.tensor()), batch.target.tensor());
    }
    Optimizers configure_optimizers() override { return optim::SGD({.lr = 0.1}).on(parameters()); }
  } task;
  const auto statistics = each_step();
  Trainer(quiet(1_steps, {statistics})).fit(task, Data(torch::randn({8, 1, 6, 6}), torch::arange(8).remainder(3)));
  const LayerSnapshot& last = statistics->last();
  std::vector<std::string> layers;
  for (const LayerReport& each : last.layers) layers.push_back(each.name);
  EXPECT_THAT(layers, ElementsAre("0", "1", "2", "5", "6", "7"));
  const ActivationReport& relu = last["2"].activations.front();
  EXPECT_EQ(relu.values.count, 4 * 4 * 4 * 4);
  EXPECT_EQ(relu.units, 4);
  EXPECT_EQ(relu.dead, 3);
  EXPECT_TRUE(relu.sure);
  EXPECT_EQ(last["6"].activations.front().units, 6);
  EXPECT_EQ(last["6"].activations.front().saturated, 1);
}

// ---- when

TEST(LayerStatistics, OnlyTheUpdatesOfTheIntervalAreLookedAt) {
  const auto steps_of = [](Duration every, Duration length, int64_t accumulate) {
    PerceptronTask task;
    const auto statistics = std::make_shared<LayerStatistics>(LayerStatisticsOptions{.every = every});
    TrainerOptions options = quiet(length, {statistics});
    options.accumulate = accumulate;
    Trainer(options).fit(task, data_of(clouds(22)));
    std::vector<int64_t> steps;
    for (const LayerSnapshot& each : statistics->history()) steps.push_back(each.step);
    return steps;
  };
  EXPECT_THAT(steps_of(4_steps, 13_steps, 1), ElementsAre(4, 8, 12));
  EXPECT_THAT(steps_of(1_epochs, 3_epochs, 1), ElementsAre(6, 12, 18));
  EXPECT_THAT(steps_of(0.5_epochs, 2_epochs, 1), ElementsAre(3, 6, 9, 12));
  EXPECT_THAT(steps_of(1_epochs, 2_epochs, 4), ElementsAre(2, 4));
}

TEST(LayerStatistics, NothingListensInBetween) {
  std::vector<bool> listening;
  const At forward(Moment::backward_begin, [&](Trainer&, MomentInfo&) { listening.push_back(at::hasCallbacks()); });
  struct Watching : PerceptronTask {
    std::vector<bool> listening;
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      listening.push_back(at::hasCallbacks());
      return PerceptronTask::training_step(batch, context);
    }
  } watching;
  const auto statistics = std::make_shared<LayerStatistics>(LayerStatisticsOptions{.every = 3_steps});
  Trainer(quiet(6_steps, {statistics, forward})).fit(watching, data_of(clouds(24)));
  EXPECT_THAT(std::vector<bool>(watching.listening.end() - 6, watching.listening.end()),
              ElementsAre(false, false, true, false, false, true));
  EXPECT_THAT(listening, ElementsAre(false, false, false, false, false, false));
}

TEST(LayerStatistics, ResultsOfTrainingStayTheSame) {
  const auto train = [](bool watched) {
    Classifier task;
    Callbacks callbacks;
    if (watched) callbacks.emplace_back(each_step({.log = false}));
    Trainer(quiet(3_epochs, callbacks)).fit(task, data_of(clouds(22)));
    return weights_of(task);
  };
  expect_same(train(true), train(false));
}

TEST(LayerStatistics, TheOldestAreDropped) {
  PerceptronTask task;
  const auto statistics = each_step({.keep = 2});
  Trainer(quiet(5_steps, {statistics})).fit(task, data_of(clouds(16)));
  ASSERT_EQ(statistics->history().size(), 2u);
  EXPECT_EQ(statistics->history().front().step, 4);
  EXPECT_EQ(statistics->last().step, 5);
}

TEST(LayerStatistics, PartsCanBeLeftOut) {
  Classifier task;
  const auto statistics = each_step({.layers = {"o*", "norm"}, .weights = false, .activations = false});
  Trainer(quiet(1_steps, {statistics})).fit(task, data_of(clouds(16)));
  ASSERT_EQ(statistics->last().layers.size(), 2u);
  const ParameterReport& weight = statistics->last()["out"].parameters.front();
  EXPECT_FALSE(weight.weights || weight.update_ratio);
  EXPECT_TRUE(weight.gradients.has_value());
  EXPECT_THAT(statistics->last()["norm"].activations, IsEmpty());
}

// ---- as values of the run

TEST(LayerStatistics, AreValuesOfStepAndEpoch) {
  struct Steps : Listener {
    std::vector<Values> all;
    void on_step(const events::Step& step) override { all.push_back(step.values); }
  };
  PerceptronTask task;
  const auto statistics = each_step({.log_layers = true});
  const auto steps = std::make_shared<Steps>();
  TrainerOptions options = quiet(1_epochs, {statistics});
  options.log_every = 1_steps;
  options.track = {steps};
  const History history = Trainer(options).fit(task, data_of(clouds(16)));
  ASSERT_EQ(steps->all.size(), 4u);
  double ratios = 0;
  for (size_t i = 0; i < 4; ++i) {
    const LayerSnapshot& snapshot = statistics->history()[i];
    EXPECT_EQ(steps->all[i]["train_update_ratio"], snapshot.update_ratio);
    EXPECT_EQ(steps->all[i]["train_dead_units"], snapshot.dead_units);
    EXPECT_EQ(steps->all[i]["train_gradient_norm.out.bias"], snapshot["out"].parameters[1].gradients->norm);
    EXPECT_EQ(steps->all[i]["train_update_ratio.first.weight"], *snapshot["first"].parameters[0].update_ratio);
    EXPECT_EQ(steps->all[i]["train_dead_units.first:relu"], snapshot["first"].activations[1].dead);
    ratios += snapshot.update_ratio / 4;
  }
  EXPECT_THAT(history.names(), ElementsAre("train_loss", "train_update_ratio", "train_dead_units"));
  EXPECT_NEAR(history["train_update_ratio"].back(), ratios, 1e-15);
}

// ---- state

TEST(LayerStatistics, ARunThatIsInterruptedGoesOnToTheSameBits) {
  const auto options_with = [](std::shared_ptr<LayerStatistics> statistics, Hooks saver) {
    TrainerOptions options = quiet(3_epochs, {std::move(statistics), std::move(saver)});
    options.seed = 5;
    return options;
  };
  const LayerStatisticsOptions options{.every = 4_steps, .keep = 3, .log_layers = true};
  std::map<int64_t, Tree> saved;
  const auto undisturbed = std::make_shared<LayerStatistics>(options);
  Classifier whole_task;
  Trainer whole(options_with(
      undisturbed, {.step_end = [&](Trainer& running) { saved[running.position().step] = running.save_state(); }}));
  const History expected = whole.fit(whole_task, data_of(clouds(22)), data_of(clouds(10, 2)));
  const Tree end = whole.save_state();
  ASSERT_EQ(undisturbed->history().size(), 3u);
  std::mt19937 random(std::random_device{}());
  for (int i = 0; i < 4; ++i) {
    const auto step = static_cast<int64_t>(1 + random() % 18);
    SCOPED_TRACE("step " + std::to_string(step));
    const auto statistics = std::make_shared<LayerStatistics>(options);
    Classifier task(99);
    Trainer trainer(options_with(statistics, {}));
    trainer.load_state(task, saved.at(step));
    expect_same(expected, trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2))));
    expect_same(end, trainer.save_state());
    ASSERT_EQ(statistics->history().size(), 3u);
    EXPECT_EQ(statistics->last().step, 16);
    EXPECT_EQ(statistics->last()["in"].activations[0].values, undisturbed->last()["in"].activations[0].values);
  }
}

// ---- several optimizers, float16, exceptions

TEST(LayerStatistics, GradientsOfFloat16AreWithoutTheLossScale) {
  const auto gradients = [](Precision precision) {
    PerceptronTask task;
    const auto statistics = each_step();
    TrainerOptions options = quiet(1_steps, {statistics});
    options.precision = precision;
    Trainer(options).fit(task, data_of(clouds(12)));
    return statistics->last().gradient_norm;
  };
  const double single = gradients(Precision::float32);
  EXPECT_NEAR(gradients(Precision::f16), single, 0.02 * single);  // float16 has 11 bits, and sums of rounded terms
}

TEST(LayerStatistics, AnExceptionInAStepLeavesNothingBehind) {
  struct Failing : PerceptronTask {
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      StepOutput output = PerceptronTask::training_step(batch, context);
      if (context.step() == 1) throw std::runtime_error("in the step");
      return output;
    }
  } task;
  EXPECT_ANY_THROW(Trainer(quiet(4_steps, {each_step()})).fit(task, data_of(clouds(16))));
  EXPECT_FALSE(at::hasCallbacks());
}

// ---- bad input

TEST(LayerStatistics, APatternThatMatchesNoLayerIsRefusedWithTheLayers) {
  Classifier task;
  int64_t steps = 0;
  const Hooks counting{.step_end = [&](Trainer&) { ++steps; }};
  const auto parts = error_of([&] {
    return Trainer(quiet(4_steps, {each_step({.layers = {"in", "nor"}}), counting})).fit(task, data_of(clouds(16)));
  });
  EXPECT_EQ(parts.what, "a pattern matches no layer");
  EXPECT_EQ(parts.got, "nor");
  EXPECT_EQ(parts.expected, "one or more of in, norm, drop, out");
  EXPECT_EQ(parts.todo, "did you mean norm?");
  EXPECT_EQ(steps, 0);
}

TEST(LayerStatistics, WrongOptionsAreRefused) {
  EXPECT_EQ(error_of([] { return LayerStatistics({.every = 0_steps}).history().size(); }).where,
            "LayerStatisticsOptions::every");
  EXPECT_EQ(error_of([] { return LayerStatistics({.every = 5_minutes}).history().size(); }).got, "300 seconds");
  EXPECT_EQ(error_of([] { return LayerStatistics({.saturation = 1.5}).history().size(); }).where,
            "LayerStatisticsOptions::saturation");
  EXPECT_THAT(error_of([] { return LayerStatistics().last().step; }).what, HasSubstr("no layer statistics yet"));
  const LayerSnapshot empty;
  EXPECT_THAT(error_of([&] { return empty["x"].name; }).got, "x");
}

}  // namespace
}  // namespace athanor::testing::layer_statistics_test
