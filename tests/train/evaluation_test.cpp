// SPDX-License-Identifier: Apache-2.0
// Evaluation leaves no trace: modes, statistics, randomness. Prediction keeps the order of the data.
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::evaluation_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;

std::vector<std::pair<std::string, bool>> modes_of(const torch::nn::Module& net) {
  std::vector<std::pair<std::string, bool>> modes;
  for (const auto& item : net.named_modules()) modes.emplace_back(item.key(), item.value()->is_training());
  return modes;
}

/// Tells in which modes its steps ran.
struct Watched : Classifier {
  std::vector<std::vector<std::pair<std::string, bool>>> training, validation;
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    training.push_back(modes_of(*net));
    return Classifier::training_step(batch, context);
  }
  StepOutput validation_step(const Batch& batch, StepContext& context) override {
    validation.push_back(modes_of(*net));
    EXPECT_FALSE(torch::GradMode::is_enabled());
    return Classifier::training_step(batch, context);
  }
};

TEST(Evaluation, EveryModuleIsInEvalModeAndEachGetsItsOwnModeBack) {
  Watched task;
  task.net->norm->eval();  // frozen
  const auto own = modes_of(*task.net);
  Trainer trainer(quiet(2_epochs));
  trainer.evaluate(task, data_of(clouds(9)));
  EXPECT_EQ(modes_of(*task.net), own);
  static_cast<void>(trainer.predict(task, data_of(clouds(9))).all());
  EXPECT_EQ(modes_of(*task.net), own);
  trainer.fit(task, data_of(clouds(9)), data_of(clouds(6)));
  EXPECT_EQ(modes_of(*task.net), own);

  ASSERT_EQ(task.training.size(), 6u);
  for (const auto& modes : task.training) EXPECT_EQ(modes, own);
  ASSERT_GE(task.validation.size(), 10u);
  for (const auto& modes : task.validation) {
    for (const auto& [name, training] : modes) EXPECT_FALSE(training) << name;
  }
}

TEST(Evaluation, ModesOfNestedModulesComeBackInAnyCombination) {
  for (int flags = 0; flags < 16; ++flags) {
    auto leaf = std::make_shared<torch::nn::DropoutImpl>(0.5);
    auto middle = std::make_shared<torch::nn::ModuleListImpl>();
    middle->push_back(leaf);
    middle->push_back(torch::nn::ReLU());
    auto root = std::make_shared<torch::nn::ModuleListImpl>();
    root->push_back(middle);
    root->push_back(torch::nn::Linear(2, 2));
    root->train((flags & 1) != 0);
    middle->train((flags & 2) != 0);
    leaf->train((flags & 4) != 0);
    const auto own = modes_of(*root);
    {
      const EvalMode eval({{"root", root}});
      EXPECT_FALSE(root->is_training() || middle->is_training() || leaf->is_training());
    }
    EXPECT_EQ(modes_of(*root), own) << flags;
  }
}

TEST(Evaluation, FitTrainsANetThatWasLeftInEvalMode) {
  Classifier task;
  task.net->eval();
  Trainer(quiet(1_epochs)).fit(task, data_of(clouds(10)));
  for (const auto& [name, training] : modes_of(*task.net)) EXPECT_TRUE(training) << name;
}

TEST(Evaluation, AFrozenBatchNormKeepsItsStatisticsThroughFit) {
  Classifier task;
  task.net->norm->eval();
  const torch::Tensor mean = task.net->norm->running_mean.clone();
  const torch::Tensor weight = task.net->in->weight.clone();
  Trainer(quiet(2_epochs)).fit(task, data_of(clouds(9)), data_of(clouds(6)));
  EXPECT_TRUE(torch::equal(task.net->norm->running_mean, mean));
  EXPECT_FALSE(torch::equal(task.net->in->weight, weight));
}

TEST(Evaluation, WeightsAndStatisticsStayUntouched) {
  Classifier task;
  Trainer trainer(quiet(1_epochs));
  const Tree before = weights_of(task);
  trainer.evaluate(task, data_of(clouds(9)));
  static_cast<void>(trainer.predict(task, data_of(clouds(9))).all());
  expect_same(before, weights_of(task));
  Hooks rehearsed{.fit_begin = [&](Trainer&) { expect_same(before, weights_of(task)); }};
  trainer.set_options(quiet(1_epochs, {rehearsed}));
  trainer.fit(task, data_of(clouds(10)), data_of(clouds(9)));
  expect_other(before, weights_of(task));
  EXPECT_EQ(task.net->norm->num_batches_tracked.item<int64_t>(), 3);
}

TEST(Evaluation, ValidationDoesNotDisturbTraining) {
  Classifier with;
  Classifier without;
  Trainer(quiet(3_epochs)).fit(with, data_of(clouds(14)), data_of(clouds(9, 2)));
  Trainer(quiet(3_epochs)).fit(without, data_of(clouds(14)));
  expect_same(weights_of(with), weights_of(without));
}

TEST(Evaluation, TheSameDataGiveTheSameValuesAtAnyBatchSize) {
  Classifier task;
  std::vector<double> losses;
  std::vector<double> accuracies;
  for (const int64_t size : {1, 4, 9, 100}) {
    TrainerOptions options = quiet(1_epochs);
    options.batch_size = size;
    const Values values = Trainer(options).evaluate(task, data_of(clouds(9)));
    losses.push_back(values["test_loss"]);
    accuracies.push_back(values["test_acc"]);
  }
  const torch::Tensor logits = (task.net->eval(), task.net->forward(clouds(9).input));
  const double expected = torch::cross_entropy_loss(logits, clouds(9).target).item<double>();
  for (const double loss : losses) EXPECT_NEAR(loss, expected, 1e-6);
  for (const double accuracy : accuracies) EXPECT_EQ(accuracy, accuracies[0]);
}

Tailored predictor(const torch::nn::Linear& net, std::function<Tree(const torch::Tensor&)> outputs) {
  return {{{"net", net.ptr()}},
          [outputs = std::move(outputs)](const Batch& batch, StepContext&) {
            return StepOutput({}, outputs(batch.input.tensor()));
          },
          [net] { return optim::Adam().on(net); }};
}

class Prediction : public ::testing::TestWithParam<int> {};

// 14 samples in batches of 4: the last one is ragged.
TEST_P(Prediction, KeepsTheOrderOfTheData) {
  torch::nn::Linear net(4, 3);
  const torch::Tensor input = clouds(14).input;
  TrainerOptions options = quiet(1_epochs);
  options.workers = GetParam();
  Trainer trainer(options);

  auto one = predictor(net, [&](const torch::Tensor& x) { return Tree(net->forward(x)); });
  const torch::Tensor whole = trainer.predict(one, Data(input)).all().tensor();
  EXPECT_EQ(whole.sizes(), (std::vector<int64_t>{14, 3}));
  EXPECT_TRUE(torch::allclose(whole, net->forward(input)));
  EXPECT_FALSE(whole.requires_grad());

  // The loader writes its batches over; what the net hands on must not change with them.
  auto views = predictor(net, [](const torch::Tensor& x) { return Tree::list({Tree(x), Tree(x.slice(1, 0, 1))}); });
  const Tree handed_on = trainer.predict(views, Data(input)).all();
  EXPECT_TRUE(torch::equal(handed_on[0].tensor(), input));
  EXPECT_TRUE(torch::equal(handed_on[1].tensor(), input.slice(1, 0, 1)));

  auto named = predictor(net, [](const torch::Tensor& x) {
    return Tree{{"sum", x.sum(1)}, {"both", Tree::list({Tree(x * 2), Tree(x * 3)})}};
  });
  const Tree dictionary = trainer.predict(named, Data(input)).all();
  EXPECT_TRUE(torch::equal(dictionary["sum"].tensor(), input.sum(1)));
  EXPECT_TRUE(torch::equal(dictionary["both"][1].tensor(), input * 3));
}
INSTANTIATE_TEST_SUITE_P(Evaluation, Prediction, ::testing::Values(0, 2));

TEST(Evaluation, ALoaderWithItsOwnOptionsKeepsThem) {
  Classifier task;
  const Examples examples = clouds(14);
  const Loader cut(Dataset(examples.input, examples.target), {.batch_size = 4, .drop_last = true});
  Trainer trainer(quiet(1_epochs));
  EXPECT_EQ(trainer.predict(task, cut).all().tensor().size(0), 12);
  EXPECT_NEAR(trainer.evaluate(task, cut)["test_loss"],
              trainer.evaluate(task, {examples.input.slice(0, 0, 12), examples.target.slice(0, 0, 12)})["test_loss"],
              1e-7);
}

}  // namespace
}  // namespace athanor::testing::evaluation_test
