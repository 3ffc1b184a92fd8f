// SPDX-License-Identifier: Apache-2.0
// The best and worst samples of a pass, beside a sort of all of them.
#include "athanor/callbacks/top_samples.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "athanor/nn/loss.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::top_samples_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Its prediction is its input; it has a weight so that it can be trained.
class Echo : public Task {
 public:
  StepOutput training_step(const Batch& batch, StepContext&) override {
    return {net->forward(torch::zeros({1, 1})).sum() * 0, batch.input};
  }
  Optimizers configure_optimizers() override { return optim::Adam().on(net); }
  torch::nn::Linear net = register_net("net", torch::nn::Linear(1, 1));
};

const TopSamples::Value input_as_value = [](const Batch&, const StepOutput& output) {
  return output.predictions.tensor();
};

SampleRanking rank(const torch::Tensor& values, TopSamplesOptions options, int64_t batch_size = 4,
                   std::vector<std::string>* messages = nullptr) {
  struct Messages : Listener {
    explicit Messages(std::vector<std::string>* into) : into(into) {}
    void on_message(const events::Message& message) override {
      if (into != nullptr) into->push_back(message.text);
    }
    std::vector<std::string>* into;
  };
  auto top = std::make_shared<TopSamples>(input_as_value, options);
  TrainerOptions run = quiet(1_epochs, {top});
  run.batch_size = batch_size;
  run.track = {std::make_shared<Messages>(messages)};
  Echo task;
  Trainer trainer(run);
  trainer.fit(task, Data(values.clone(), Tree()), Data(values.clone(), Tree()));
  return top->ranking();
}

std::vector<int64_t> indices_of(const std::vector<RankedSample>& samples) {
  std::vector<int64_t> indices;
  for (const RankedSample& sample : samples) indices.push_back(sample.index);
  return indices;
}

TEST(TopSamples, AreThoseOfASortOfAllSamplesWhateverTheBatches) {
  torch::manual_seed(3);
  const torch::Tensor values = torch::randint(-9, 9, {57}, torch::kDouble);  // many ties
  std::vector<int64_t> order(57);
  for (int64_t i = 0; i < 57; ++i) order[static_cast<size_t>(i)] = i;
  const auto* value = values.const_data_ptr<double>();
  for (const Direction better : {Direction::down, Direction::up}) {
    const double sign = better == Direction::down ? 1 : -1;
    auto best = order;
    std::stable_sort(best.begin(), best.end(), [&](auto a, auto b) { return sign * value[a] < sign * value[b]; });
    auto worst = order;
    std::stable_sort(worst.begin(), worst.end(), [&](auto a, auto b) { return sign * value[a] > sign * value[b]; });
    for (const int64_t k : {1, 7, 57}) {
      for (const int64_t batch_size : {1, 4, 10, 57}) {
        const SampleRanking ranking = rank(values, {.k = k, .better = better}, batch_size);
        EXPECT_EQ(indices_of(ranking.best), std::vector<int64_t>(best.begin(), best.begin() + k));
        EXPECT_EQ(indices_of(ranking.worst), std::vector<int64_t>(worst.begin(), worst.begin() + k));
        EXPECT_EQ(ranking.samples, 57);
        EXPECT_EQ(ranking.epoch, 1);
        for (const RankedSample& sample : ranking.worst) EXPECT_EQ(sample.value, value[sample.index]);
      }
    }
  }
}

TEST(TopSamples, NaNIsWorstInEveryDirectionAndIsSaid) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const torch::Tensor values = torch::tensor({3.0, nan, 1.0, inf, nan, 2.0, -inf}, torch::kDouble);
  for (const Direction better : {Direction::down, Direction::up}) {
    std::vector<std::string> messages;
    const SampleRanking ranking = rank(values, {.k = 7, .better = better}, 2, &messages);
    const bool down = better == Direction::down;
    EXPECT_THAT(indices_of(ranking.best), down ? ElementsAre(6, 2, 5, 0, 3, 1, 4) : ElementsAre(3, 0, 5, 2, 6, 1, 4));
    EXPECT_THAT(indices_of(ranking.worst), down ? ElementsAre(1, 4, 3, 0, 5, 2, 6) : ElementsAre(1, 4, 6, 2, 5, 0, 3));
    EXPECT_EQ(ranking.not_a_number, 2);
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0], "TopSamples, val: the value of 2 of 7 samples is NaN and counts as worst; samples 1, 4");
  }
}

TEST(TopSamples, ALossForEachSampleWithWhatBelongsToIt) {
  const Examples examples = clouds(30, 4);
  auto top = std::make_shared<TopSamples>(loss::cross_entropy, TopSamplesOptions{.k = 4});
  Classifier task;
  Trainer trainer(quiet(1_epochs, {top}));
  trainer.fit(task, data_of(clouds(22)));
  EXPECT_EQ(error_of([&] { return top->ranking(); }).what, "no samples were ranked in such a pass");
  trainer.evaluate(task, data_of(examples));
  task.net->eval();
  torch::NoGradGuard no_grad;
  const torch::Tensor logits = task.net->forward(examples.input);
  const torch::Tensor losses = torch::nn::functional::cross_entropy(
      logits, examples.target, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone));
  const auto [largest, order] = losses.sort(0, /*descending=*/true);
  const SampleRanking& ranking = top->ranking(Stage::test);
  ASSERT_EQ(ranking.worst.size(), 4u);
  for (int64_t i = 0; i < 4; ++i) {
    const RankedSample& sample = ranking.worst[static_cast<size_t>(i)];
    const int64_t index = order[i].item<int64_t>();
    EXPECT_EQ(sample.index, index);
    // Rows of another batch size may be summed in another order: a few units in the last place of numbers near 10.
    EXPECT_NEAR(sample.value, losses[index].item<double>(), 1e-5);
    EXPECT_TRUE(torch::equal(sample.input.tensor(), examples.input[index]));
    EXPECT_TRUE(torch::equal(sample.target.tensor(), examples.target[index]));
    EXPECT_TRUE(torch::allclose(sample.prediction.tensor(), logits[index], 1e-5, 1e-5));
    EXPECT_FALSE(sample.prediction.tensor().requires_grad());
    EXPECT_EQ(sample.input.tensor().storage().nbytes(), 4 * sizeof(float)) << "the memory of a whole batch is held";
    EXPECT_EQ(sample.prediction.tensor().storage().nbytes(), 3 * sizeof(float));
  }
}

TEST(TopSamples, ElementsOfASampleAreAveraged) {
  TopSamples top(loss::mse, {.k = 2});
  const torch::Tensor target = torch::zeros({3, 2, 2});
  const torch::Tensor predictions = torch::tensor({1.0F, 3.0F, 2.0F}).view({3, 1, 1}).expand({3, 2, 2}).clone();
  struct Fixed : Task {
    Optimizers configure_optimizers() override { return optim::Adam().on(net); }
    StepOutput training_step(const Batch& batch, StepContext&) override { return {at::Tensor(), batch.input}; }
    torch::nn::Linear net = register_net("net", torch::nn::Linear(1, 1));
  } task;
  auto shared = std::make_shared<TopSamples>(top);
  Trainer trainer(quiet(1_epochs, {shared}));
  trainer.evaluate(task, Data(predictions, target).named("held"));
  EXPECT_EQ(shared->ranking(Stage::test, "held").worst[0].value, 9);
  EXPECT_THAT(indices_of(shared->ranking().best), ElementsAre(0, 2));
  EXPECT_THAT(error_of([&] { return shared->ranking(Stage::test, "other"); }).expected, HasSubstr("test of 'held'"));
}

TEST(TopSamples, InTrainingTheFirstEvaluationOfAnUpdateCounts) {
  torch::nn::Linear net(4, 1);
  int evaluations = 0;
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext&) -> StepOutput {
        const torch::Tensor predictions = net(batch.input.tensor());
        ++evaluations;
        return {predictions.square().mean(), predictions};
      },
      [&] {
        return optim::adopt(
            std::make_shared<torch::optim::LBFGS>(net->parameters(), torch::optim::LBFGSOptions(0.1).max_iter(5)));
      });
  const torch::Tensor before = net->weight.detach().clone();
  const torch::Tensor bias = net->bias.detach().clone();
  auto top = std::make_shared<TopSamples>(
      [](const Batch&, const StepOutput& output) { return output.predictions.tensor().flatten(); },
      TopSamplesOptions{.k = 8, .stages = {Stage::train}, .better = Direction::up});
  TrainerOptions options = quiet(1_epochs, {top});
  options.batch_size = 8;
  options.shuffle = false;
  const torch::Tensor input = clouds(8).input;
  Trainer(options).fit(task, Data(input, Tree()));
  EXPECT_GT(evaluations, 2);
  const torch::Tensor first = torch::nn::functional::linear(input, before, bias);
  const SampleRanking& ranking = top->ranking(Stage::train);
  EXPECT_EQ(ranking.samples, 8);
  ASSERT_EQ(ranking.best.size(), 8u);
  for (const RankedSample& sample : ranking.best) EXPECT_EQ(sample.value, first[sample.index].item<double>());
}

TEST(TopSamples, ARunThatGoesOnElsewhereRanksTheSame) {
  const auto options = [](const std::shared_ptr<TopSamples>& top, Hooks hooks) {
    TrainerOptions made = quiet(2_epochs, {top, std::move(hooks)});
    made.seed = 4;
    made.host.threads = 1;
    return made;
  };
  const auto make = [] {
    return std::make_shared<TopSamples>(loss::cross_entropy,
                                        TopSamplesOptions{.k = 5, .stages = {Stage::train, Stage::validation}});
  };
  std::vector<Tree> saved;
  auto whole = make();
  Classifier task;
  Trainer trainer(options(whole, {.step_end = [&](Trainer& running) { saved.push_back(running.save_state()); }}));
  trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  ASSERT_EQ(saved.size(), 12u);
  for (const size_t step : {0u, 2u, 5u, 8u, 11u}) {
    auto resumed = make();
    Classifier other(99);
    Trainer again(options(resumed, {}));
    again.load_state(other, saved[step]);
    again.fit(other, data_of(clouds(22)), data_of(clouds(10, 2)));
    expect_same(trainer.save_state(), again.save_state());
    EXPECT_EQ(resumed->ranking(Stage::train).samples, 22);
    EXPECT_EQ(indices_of(resumed->ranking(Stage::train).worst), indices_of(whole->ranking(Stage::train).worst));
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(resumed->ranking(Stage::train).best[i].value, whole->ranking(Stage::train).best[i].value);
    }
  }
}

TEST(TopSamples, MoreThanThereAreIsAnErrorWithBothNumbers) {
  const Error::Parts parts = error_of([] { return rank(torch::ones({5}), {.k = 6}).samples; });
  EXPECT_EQ(parts.what, "more samples are to be kept than there are");
  EXPECT_EQ(parts.where, "TopSamples, val");
  EXPECT_THAT(parts.got, HasSubstr("6"));
  EXPECT_THAT(parts.expected, HasSubstr("at most 5"));
  Classifier untouched;
  const Tree before = weights_of(untouched);
  auto top = std::make_shared<TopSamples>(loss::cross_entropy, TopSamplesOptions{.k = 9});
  Trainer trainer(quiet(1_epochs, {top}));
  error_of([&] { return trainer.fit(untouched, data_of(clouds(64)), data_of(clouds(8))).epochs().size(); });
  EXPECT_EQ(trainer.position().step, 0);
  expect_same(weights_of(untouched), before);
  EXPECT_EQ(error_of([&] { return trainer.evaluate(untouched, data_of(clouds(8))).size(); }).where, "TopSamples, test");
  const Error::Parts train =
      error_of([] { return rank(torch::ones({5}), {.k = 6, .stages = {Stage::train}}).samples; });
  EXPECT_EQ(train.where, "TopSamples, train");
}

TEST(TopSamples, WrongOptionsAndValuesAreRefused) {
  EXPECT_EQ(error_of([] { return TopSamples(input_as_value, {.k = 0}); }).where, "TopSamplesOptions::k");
  EXPECT_EQ(error_of([] { return TopSamples(input_as_value, {.stages = {}}); }).where, "TopSamplesOptions::stages");
  EXPECT_EQ(error_of([] { return TopSamples(input_as_value, {.better = Direction::unknown}); }).where,
            "TopSamplesOptions::better");
  EXPECT_EQ(error_of([] { return TopSamples(TopSamples::Value(), {}); }).what, "there is no value to rank samples by");
  Classifier task;
  Trainer trainer(
      quiet(1_epochs, {TopSamples([](const Batch&, const StepOutput& output) { return output.loss; }, {.k = 2})}));
  const Error::Parts reduced = error_of([&] { return trainer.fit(task, data_of(clouds(8)), data_of(clouds(8))); });
  EXPECT_THAT(reduced.what, HasSubstr("not one number for each of them"));
  EXPECT_THAT(reduced.got, HasSubstr("float32 ()"));
  EXPECT_EQ(reduced.expected, "(4)");
  Classifier own;
  Trainer by_hand(quiet(1_epochs, {TopSamples(loss::cross_entropy, {.k = 1, .stages = {Stage::train}})}));
  const Examples examples = clouds(4);
  const Error::Parts unnumbered = error_of([&] {
    return by_hand.update(own, Batch{.input = examples.input, .target = examples.target, .samples = 4}).samples;
  });
  EXPECT_THAT(unnumbered.got, HasSubstr("undefined `indices`"));
}

}  // namespace
}  // namespace athanor::testing::top_samples_test
