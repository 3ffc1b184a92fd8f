// SPDX-License-Identifier: Apache-2.0
// mixup, CutMix and label smoothing beside torchvision, PyTorch and the formulas.
#include "athanor/callbacks/mix_samples.hpp"

#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "athanor/nn/loss.hpp"
#include "tests/callbacks/torchvision_reference.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::mix_samples_test {
namespace {

using namespace athanor::literals;
using ::testing::HasSubstr;
namespace fs = std::filesystem;
namespace functional = torch::nn::functional;

// torchvision rolls the batch by one row.
const std::vector<int64_t> rolled = {2, 0, 1};

Batch reference_batch() {
  return {.input = reference_images(), .target = reference_labels(), .indices = torch::arange(3), .samples = 3};
}

TEST(MixSamples, MixupIsThatOfTorchvision) {
  const References references = torchvision_references();
  const MixSamples callback({.classes = 4});
  for (const char* share : {"0.25", "0.6", "0.9375"}) {
    Batch batch = reference_batch();
    callback.apply({.kind = Mixing::Kind::mixup, .share = std::stod(share), .partner = rolled}, batch);
    const std::string name = std::string("mixup_") + share;
    expect_reference({batch.input.tensor(), batch.target.tensor()}, references.at(name), name);
  }
}

TEST(MixSamples, CutMixIsThatOfTorchvision) {
  const References references = torchvision_references();
  const MixSamples callback({.classes = 4, .mixup = 0, .cutmix = 1});
  struct Box {
    const char* name;
    double share;
    int64_t row, column;
  };
  for (const Box& each : {Box{"cutmix_0.5_2_3", 0.5, 2, 3}, Box{"cutmix_0.1_0_5", 0.1, 0, 5},
                          Box{"cutmix_0.97_4_0", 0.97, 4, 0}, Box{"cutmix_0.36_1_2", 0.36, 1, 2}}) {
    Batch batch = reference_batch();
    Mixing mixing = cut_box(each.share, each.row, each.column, 5, 6);
    mixing.partner = rolled;
    callback.apply(mixing, batch);
    expect_reference({batch.input.tensor(), batch.target.tensor()}, references.at(each.name), each.name);
  }
}

TEST(MixSamples, TheRecordedReferencesAreThoseOfTheTorchvisionThatIsHere) {
  std::string folder = (fs::temp_directory_path() / "athanor-torchvision-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/reference.txt";
  const std::string command =
      std::string(ATHANOR_TEST_PYTHON) + " " ATHANOR_SOURCE_DIR "/tests/callbacks/torchvision_peer.py " + path;
  const int status = WEXITSTATUS(std::system(command.c_str()));
  const References here = read_references(path);
  fs::remove_all(folder);
  if (status == 77)
    GTEST_SKIP() << "torchvision is not in " << ATHANOR_TEST_PYTHON << "; the recorded file was checked";
  ASSERT_EQ(status, 0);
  const References recorded = torchvision_references();
  ASSERT_EQ(here.size(), recorded.size());
  for (const auto& [name, numbers] : recorded) {
    expect_reference({torch::tensor(here.at(name), torch::kDouble)}, numbers, name);
  }
}

// Beta(1/2, 1/2) is the arcsine distribution, Beta(1, 1) the uniform one. The bound of Kolmogorov and Smirnov is passed
// by one in 10,000 right generators; the seeds are fixed.
TEST(MixSamples, SharesAreDrawnFromTheBetaDistribution) {
  constexpr int64_t draws = 20000;
  const auto shares_of = [](double alpha) {
    const MixSamples callback({.classes = 4, .mixup = alpha});
    std::vector<double> shares;
    for (uint64_t key = 0; key < draws; ++key) shares.push_back(callback.draw(mix({7, key}), 2, 0, 0).share);
    std::sort(shares.begin(), shares.end());
    return shares;
  };
  const auto distance = [](const std::vector<double>& sorted, auto&& distribution) {
    double largest = 0;
    for (size_t i = 0; i < sorted.size(); ++i) {
      const double expected = distribution(sorted[i]);
      largest = std::max({largest, std::abs(expected - static_cast<double>(i) / draws),
                          std::abs(expected - static_cast<double>(i + 1) / draws)});
    }
    return largest * std::sqrt(static_cast<double>(draws));
  };
  EXPECT_LT(distance(shares_of(1), [](double x) { return x; }), 2.23);
  EXPECT_LT(distance(shares_of(0.5), [](double x) { return 2 / M_PI * std::asin(std::sqrt(x)); }), 2.23);
  // Mean 1/2 and variance 1 / (4 (2 alpha + 1)); five standard errors.
  for (const double alpha : {0.001, 0.2, 4.0, 100.0}) {
    const std::vector<double> shares = shares_of(alpha);
    double mean = 0;
    double variance = 0;
    for (const double share : shares) mean += share / draws;
    for (const double share : shares) variance += (share - 0.5) * (share - 0.5) / draws;
    const double expected = 1 / (4 * (2 * alpha + 1));
    EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(expected / draws)) << alpha;
    EXPECT_NEAR(variance, expected, 5 * expected * std::sqrt(2.0 / draws)) << alpha;
    EXPECT_GE(shares.front(), 0);
    EXPECT_LE(shares.back(), 1);
  }
}

TEST(MixSamples, WhatIsDrawnIsAFunctionOfTheKey) {
  const MixSamples callback({.classes = 4, .mixup = 0.4, .cutmix = 1, .cutmix_share = 0.25, .probability = 0.5});
  std::map<Mixing::Kind, int> kinds;
  std::set<std::vector<int64_t>> partners;
  for (uint64_t key = 0; key < 4000; ++key) {
    const Mixing mixing = callback.draw(key, 5, 9, 17);
    const Mixing again = callback.draw(key, 5, 9, 17);
    EXPECT_EQ(mixing.share, again.share);
    EXPECT_EQ(mixing.partner, again.partner);
    kinds[mixing.kind] += 1;
    if (mixing.kind == Mixing::Kind::none) continue;
    std::vector<int64_t> sorted = mixing.partner;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_THAT(sorted, ::testing::ElementsAre(0, 1, 2, 3, 4));
    partners.insert(mixing.partner);
    EXPECT_GE(mixing.top, 0);
    EXPECT_LE(mixing.bottom, 9);
    EXPECT_LE(mixing.right, 17);
  }
  // Five standard errors of binomial counts.
  EXPECT_NEAR(kinds[Mixing::Kind::none], 2000, 160);
  EXPECT_NEAR(kinds[Mixing::Kind::cutmix], 500, 105);
  EXPECT_GT(partners.size(), 110u) << "of 120 permutations";
}

struct Seen {
  std::vector<torch::Tensor> inputs, targets, compared, predictions;
  std::vector<int64_t> epochs;
};

/// Stands behind the callback under test.
Callback watch(Seen& seen) {
  return At(Moment::forward_end, [&seen](Trainer&, MomentInfo& info) {
    seen.inputs.push_back(info.batch->input.tensor().clone());
    seen.targets.push_back(info.batch->target.tensor().clone());
    seen.predictions.push_back(info.output->predictions.tensor().detach().clone());
    seen.compared.push_back(info.output->target.empty() ? torch::Tensor() : info.output->target.tensor());
    seen.epochs.push_back(info.context->epoch());
  });
}

struct TrainedRun {
  Seen seen;
  Tree end;
  Values values;
  std::vector<Tree> saved;
};

TrainedRun train(const std::function<Callback()>& callback, const Tree* from = nullptr, int threads = 1,
                 int64_t window = 1, Examples examples = clouds(22)) {
  TrainedRun run;
  TrainerOptions options =
      quiet(3_epochs, {callback(), watch(run.seen),
                       Hooks{.step_end = [&](Trainer& running) { run.saved.push_back(running.save_state()); }}});
  options.host.threads = threads;
  options.seed = 3;
  options.accumulate = Accumulation(window);
  Classifier task(from == nullptr ? 1 : 99);
  Trainer trainer(options);
  if (from != nullptr) trainer.load_state(task, *from);
  trainer.fit(task, data_of(examples), data_of(clouds(10, 2)));
  run.end = trainer.save_state();
  run.values = trainer.values();
  return run;
}

TEST(MixSamples, ARunThatGoesOnElsewhereAndOtherThreadsGiveTheSameBits) {
  const auto make = [] { return Callback(MixSamples({.classes = 3, .mixup = 0.4, .smoothing = 0.1})); };
  for (const int64_t window : {1, 2}) {
    const TrainedRun whole = train(make, nullptr, 1, window);
    for (const size_t step : {size_t{0}, size_t{2}, whole.saved.size() / 2, whole.saved.size() - 1}) {
      expect_same(whole.end, train(make, &whole.saved[step], 1, window).end);
    }
    const TrainedRun threads = train(make, nullptr, 2, window);
    ASSERT_EQ(threads.seen.targets.size(), whole.seen.targets.size());
    for (size_t i = 0; i < whole.seen.targets.size(); ++i) {
      EXPECT_TRUE(torch::equal(whole.seen.targets[i], threads.seen.targets[i]));
      EXPECT_TRUE(torch::equal(whole.seen.inputs[i], threads.seen.inputs[i]));
    }
  }
}

TEST(MixSamples, MicroBatchesAndStepsAreDrawnEachOnTheirOwn) {
  const TrainedRun run = train([] { return Callback(MixSamples({.classes = 3, .mixup = 1})); }, nullptr, 1, 2);
  ASSERT_EQ(run.seen.targets.size(), 18u);
  std::multiset<float> shares;  // the larger one of a mixture of two classes
  for (const torch::Tensor& target : run.seen.targets) {
    const torch::Tensor mixed = target.masked_select(target < 1);
    if (mixed.max().item<float>() > 0) shares.insert(mixed.max().item<float>());
  }
  EXPECT_GE(shares.size(), 12u);
  EXPECT_EQ(std::set<float>(shares.begin(), shares.end()).size(), shares.size());
}

// Images of one colour and class each: the pixels of a mixture tell its shares.
TEST(MixSamples, TheTargetsOfCutMixAreThePartsOfTheImages) {
  const int64_t samples = 6;
  const torch::Tensor classes = torch::arange(samples);
  const torch::Tensor images =
      classes.to(torch::kFloat).view({samples, 1, 1, 1}).expand({samples, 2, 7, 5}).contiguous();
  torch::nn::Linear net(1, samples);
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext&) -> StepOutput {
        const torch::Tensor logits = net(batch.input.tensor().mean({1, 2, 3}).unsqueeze(1));
        return {torch::cross_entropy_loss(logits, batch.target.tensor()), logits};
      },
      [&] { return optim::Adam().on(net); });
  Seen seen;
  TrainerOptions options = quiet(20_epochs, {MixSamples({.classes = samples, .mixup = 0, .cutmix = 1}), watch(seen)});
  options.batch_size = samples;
  Trainer(options).fit(task, Data(images, classes));
  int cut = 0;
  for (size_t i = 0; i < seen.inputs.size(); ++i) {
    torch::Tensor parts = torch::zeros({samples, samples});
    for (int64_t c = 0; c < samples; ++c) parts.select(1, c) = (seen.inputs[i] == c).to(torch::kFloat).mean({1, 2, 3});
    EXPECT_TRUE(torch::allclose(seen.targets[i], parts, 0, 1e-6));
    const double largest = parts.amax(1).mean().item<double>();
    cut += largest < 1;
  }
  EXPECT_GE(cut, 15);
}

TEST(MixSamples, TheDataAreNotWrittenTo) {
  const Examples examples = clouds(22);
  const torch::Tensor before = examples.input.clone();
  train([] { return Callback(MixSamples({.classes = 3})); }, nullptr, 1, 1, examples);
  EXPECT_TRUE(torch::equal(before, examples.input));
}

// Automatic metrics refuse scores beside probabilities; here they see the class with the largest share.
TEST(MixSamples, MetricsCompareWithTheClassOfTheLargestShare) {
  const TrainedRun run = train([] { return Callback(MixSamples({.classes = 3, .mixup = 1, .smoothing = 0.2})); });
  double right = 0;
  int64_t last = 0;
  for (size_t i = 0; i < run.seen.targets.size(); ++i) {
    const torch::Tensor& target = run.seen.targets[i];
    EXPECT_EQ(target.dim(), 2);
    EXPECT_TRUE(torch::allclose(target.sum(1), torch::ones({target.size(0)})));
    EXPECT_TRUE(torch::equal(run.seen.compared[i], target.argmax(1)));
    if (run.seen.epochs[i] != 3) continue;
    right += (run.seen.predictions[i].argmax(1) == target.argmax(1)).sum().item<double>();
    last += target.size(0);
  }
  EXPECT_EQ(last, 22);
  EXPECT_NEAR(run.values["train_acc"], right / 22, 1e-12);
}

TEST(MixSamples, ATargetThatTheStepHandsBackItself) {
  struct Own : Classifier {
    bool other = false;
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      StepOutput output = Classifier::training_step(batch, context);
      output.target = other ? Tree(torch::zeros({batch.samples}, torch::kLong)) : batch.target;
      return output;
    }
  };
  for (const bool other : {false, true}) {
    Own task;
    task.other = other;
    Seen seen;
    Trainer trainer(quiet(1_epochs, {MixSamples({.classes = 3}), watch(seen)}));
    trainer.fit(task, data_of(clouds(22)));
    for (size_t i = 0; i < seen.compared.size(); ++i) {
      const torch::Tensor expected =
          other ? torch::zeros({seen.targets[i].size(0)}, torch::kLong) : seen.targets[i].argmax(1);
      EXPECT_TRUE(torch::equal(seen.compared[i], expected));
    }
  }
}

TEST(MixSamples, TheLastEpochsAndValidationAreNotMixed) {
  const Examples examples = clouds(22);
  const TrainedRun run =
      train([] { return Callback(MixSamples({.classes = 3, .plain_epochs = 2})); }, nullptr, 1, 1, examples);
  for (size_t i = 0; i < run.seen.targets.size(); ++i) {
    EXPECT_EQ(run.seen.targets[i].is_floating_point(), run.seen.epochs[i] == 1);
  }
  const TrainedRun smooth =
      train([] { return Callback(MixSamples({.classes = 3, .smoothing = 0.3, .plain_epochs = 2})); });
  for (size_t i = 0; i < smooth.seen.targets.size(); ++i) {
    if (smooth.seen.epochs[i] == 1) continue;
    EXPECT_TRUE(torch::allclose(smooth.seen.targets[i].amax(1), torch::full({1}, 0.8F)));
  }
}

// share w[i] CE(y[i]) + (1 - share) w[partner] CE(y[partner]) for the mixed logits, by the linearity in the target.
TEST(MixSamples, SampleWeightsGiveTheMixtureOfTheWeightedLosses) {
  torch::manual_seed(2);
  const torch::Tensor logits = torch::randn({4, 3}, torch::kDouble);
  const torch::Tensor labels = torch::tensor({0, 2, 1, 1}, torch::kLong);
  const torch::Tensor weight = torch::tensor({1.0, 0.25, 0.0, 0.0}, torch::kDouble);
  const std::vector<int64_t> partner = {1, 3, 0, 2};
  Batch batch{.input = torch::zeros({4, 2}, torch::kDouble), .target = labels, .weight = weight, .samples = 4};
  const double share = 0.3;
  MixSamples({.classes = 3}).apply({.kind = Mixing::Kind::mixup, .share = share, .partner = partner}, batch);
  const torch::Tensor loss = Loss(loss::cross_entropy).weighted(logits, batch.target, *batch.weight, at::Tensor());
  const auto cross_entropy = [&](int64_t row, int64_t of) {
    return -torch::log_softmax(logits, 1)[row][labels[of].item<int64_t>()].item<double>() * weight[of].item<double>();
  };
  double expected = 0;
  for (int64_t i = 0; i < 4; ++i) {
    expected += (share * cross_entropy(i, i) + (1 - share) * cross_entropy(i, partner[static_cast<size_t>(i)])) / 4;
  }
  EXPECT_NEAR(loss.item<double>(), expected, 1e-15);
  EXPECT_TRUE(batch.target.tensor().isfinite().all().item<bool>());
}

TEST(MixSamples, NumbersOfARegressionAreMixedLikeTheInputs) {
  Batch batch{.input = {{"a", torch::tensor({{1.0}, {3.0}})}, {"b", torch::tensor({10.0, 20.0})}},
              .target = torch::tensor({100.0, 200.0}),
              .samples = 2};
  MixSamples({}).apply({.kind = Mixing::Kind::mixup, .share = 0.75, .partner = {1, 0}}, batch);
  EXPECT_TRUE(torch::equal(batch.input["a"].tensor(), torch::tensor({{1.5}, {2.5}})));
  EXPECT_TRUE(torch::equal(batch.input["b"].tensor(), torch::tensor({12.5, 17.5})));
  EXPECT_TRUE(torch::equal(batch.target.tensor(), torch::tensor({125.0, 175.0})));
}

TEST(MixSamples, WhatCanNotBeMixedIsRefused) {
  const auto where = [](MixSamplesOptions options) { return error_of([&] { return MixSamples(options); }).where; };
  EXPECT_EQ(where({.mixup = -1}), "MixSamplesOptions::mixup");
  EXPECT_EQ(where({.cutmix = NAN}), "MixSamplesOptions::cutmix");
  EXPECT_EQ(where({.cutmix_share = 2}), "MixSamplesOptions::cutmix_share");
  EXPECT_EQ(where({.probability = 1.5}), "MixSamplesOptions::probability");
  EXPECT_EQ(where({.plain_epochs = -1}), "MixSamplesOptions::plain_epochs");
  EXPECT_EQ(where({.mixup = 0}), "MixSamplesOptions");
  EXPECT_EQ(where({.classes = 0}), "MixSamplesOptions::classes");
  EXPECT_EQ(where({.smoothing = 0.1}), "MixSamplesOptions::classes");
  const auto refused = [](MixSamplesOptions options, const Data& data, Duration length = 1_epochs) {
    Classifier task;
    Trainer trainer(quiet(length, {MixSamples(options)}));
    return error_of([&] { return trainer.fit(task, data); });
  };
  EXPECT_THAT(refused({}, data_of(clouds(8))).todo, HasSubstr("MixSamplesOptions::classes"));
  EXPECT_THAT(refused({.classes = 3, .cutmix = 1}, data_of(clouds(8))).expected, HasSubstr("(N, C, H, W)"));
  const Error::Parts label = refused({.classes = 2}, data_of(clouds(3)));
  EXPECT_EQ(label.got, "2");
  EXPECT_EQ(label.where, "MixSamples, sample 2");
  EXPECT_THAT(refused({.classes = 3, .plain_epochs = 1}, data_of(clouds(8)), 5_steps).got, HasSubstr("5 steps"));
  Batch bytes = reference_batch();
  bytes.input = bytes.input.tensor().to(torch::kByte);
  EXPECT_THAT(error_of([&] {
                MixSamples({.classes = 4}).apply({.kind = Mixing::Kind::mixup, .partner = rolled}, bytes);
                return 0;
              }).got,
              HasSubstr("uint8"));
}

// PyTorch's own label smoothing of class numbers.
TEST(LabelSmoothing, TheLossIsThatOfPyTorch) {
  torch::manual_seed(1);
  const torch::Tensor logits = torch::randn({5, 3, 2}, torch::kDouble);
  const torch::Tensor labels = torch::tensor({0, 2, 1, 1, 0, 0, 2, 2, 1, 0}, torch::kLong).view({5, 2});
  for (const double smoothing : {0.0, 0.1, 0.9}) {
    const Batch batch{.input = torch::zeros({5, 1}, torch::kDouble), .target = labels, .samples = 5};
    const torch::Tensor soft = detail::soft_targets(batch, 3, smoothing, "test");
    EXPECT_EQ(soft.sizes(), (std::vector<int64_t>{5, 3, 2}));
    const torch::Tensor expected =
        functional::cross_entropy(logits, labels, functional::CrossEntropyFuncOptions().label_smoothing(smoothing));
    EXPECT_NEAR(loss::cross_entropy(logits, soft).item<double>(), expected.item<double>(), 1e-14);
  }
}

TEST(LabelSmoothing, InTrainingOnlyAndMetricsSeeClassNumbers) {
  struct Smoothed : Classifier {  // PyTorch's, for comparison
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      StepOutput output = Classifier::training_step(batch, context);
      if (context.stage() == Stage::train) {
        output.loss = functional::cross_entropy(output.predictions.tensor(), batch.target.tensor(),
                                                functional::CrossEntropyFuncOptions().label_smoothing(0.2));
      }
      return output;
    }
  } theirs;
  Classifier ours;
  Trainer with(quiet(1_epochs, {LabelSmoothing({.classes = 3, .smoothing = 0.2})}));
  Trainer without(quiet(1_epochs));
  with.fit(ours, data_of(clouds(22)), data_of(clouds(10, 2)));
  without.fit(theirs, data_of(clouds(22)), data_of(clouds(10, 2)));
  // Six steps of Adam with losses that differ by rounding.
  for (const char* name : {"train_loss", "val_loss"}) EXPECT_NEAR(with.values()[name], without.values()[name], 1e-4);
  EXPECT_EQ(with.values()["train_acc"], without.values()["train_acc"]);
}

TEST(LabelSmoothing, ProbabilitiesAreSmoothedTooAndTheRestIsRefused) {
  const torch::Tensor given = torch::tensor({{0.5, 0.5, 0.0}});
  const Batch batch{.input = torch::zeros({1, 1}), .target = given, .samples = 1};
  EXPECT_TRUE(torch::allclose(detail::soft_targets(batch, 3, 0.3, "test"), torch::tensor({{0.45, 0.45, 0.1}})));
  EXPECT_EQ(error_of([] { return LabelSmoothing({.smoothing = 0.1}); }).where, "LabelSmoothingOptions::classes");
  EXPECT_EQ(error_of([] { return LabelSmoothing({.classes = 3, .smoothing = 1}); }).where,
            "LabelSmoothingOptions::smoothing");
  EXPECT_THAT(error_of([&] { return detail::soft_targets(batch, 4, 0.1, "test"); }).expected, HasSubstr("(N, 4)"));
}

}  // namespace
}  // namespace athanor::testing::mix_samples_test
