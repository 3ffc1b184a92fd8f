// SPDX-License-Identifier: Apache-2.0
// In which numbers a net computes, and how it lies in memory.
#include <ATen/autocast_mode.h>

#include <vector>

#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::precision_test {
namespace {

using namespace athanor::literals;
using ::testing::Each;
using ::testing::HasSubstr;

struct Seen {
  std::vector<at::ScalarType> input, weight, product;
  bool channels_last = true;
};

class Convolved : public Task {
 public:
  Convolved() {
    torch::manual_seed(1);
    convolution = register_net("convolution", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 4, 3).padding(1)));
    head = register_net("head", torch::nn::Linear(4, 3));
  }
  StepOutput training_step(const Batch& batch, StepContext&) override {
    const torch::Tensor& image = batch.input.tensor();
    const torch::Tensor map = convolution(image);
    const torch::Tensor logits = head(map.mean({2, 3}).to(head->weight.scalar_type()));
    seen.input.push_back(image.scalar_type());
    seen.weight.push_back(convolution->weight.scalar_type());
    seen.product.push_back(map.scalar_type());
    seen.channels_last = seen.channels_last && image.is_contiguous(at::MemoryFormat::ChannelsLast) &&
                         convolution->weight.is_contiguous(at::MemoryFormat::ChannelsLast);
    return {torch::cross_entropy_loss(logits.to(torch::kFloat), batch.target.tensor()), logits};
  }
  Optimizers configure_optimizers() override { return optim::SGD({.lr = 0.05}).on(parameters()); }
  torch::nn::Conv2d convolution = nullptr;
  torch::nn::Linear head = nullptr;
  Seen seen;
};

Data images() {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(4);
  return {torch::randn({12, 2, 5, 5}, generator), torch::arange(12).remainder(3)};
}

TrainerOptions options_of(Precision precision) {
  TrainerOptions options = quiet(2_epochs);
  options.precision = precision;
  return options;
}

struct Expected {
  Precision precision;
  at::ScalarType input, weight, product;
};
class EachPrecision : public ::testing::TestWithParam<Expected> {};

TEST_P(EachPrecision, HasItsDtypesInTrainingAndEvaluation) {
  const Expected& expected = GetParam();
  Convolved task;
  Trainer trainer(options_of(expected.precision));
  const History history = trainer.fit(task, images(), images());
  EXPECT_THAT(task.seen.input, Each(expected.input));
  EXPECT_THAT(task.seen.weight, Each(expected.weight));
  EXPECT_THAT(task.seen.product, Each(expected.product));
  EXPECT_LT(history["train_loss"].back(), history["train_loss"].front());
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  EXPECT_EQ(trainer.predict(task, images()).all().tensor().size(0), 12);
}

INSTANTIATE_TEST_SUITE_P(Precisions, EachPrecision,
                         ::testing::Values(Expected{Precision::float32, at::kFloat, at::kFloat, at::kFloat},
                                           Expected{Precision::float64, at::kDouble, at::kDouble, at::kDouble},
                                           Expected{Precision::bf16, at::kFloat, at::kFloat, at::kBFloat16},
                                           Expected{Precision::f16, at::kFloat, at::kFloat, at::kHalf},
                                           Expected{Precision::bf16_true, at::kBFloat16, at::kBFloat16, at::kBFloat16}),
                         [](const auto& info) {
                           return std::string(enum_names(Precision())[static_cast<size_t>(info.param.precision)].first);
                         });

TEST(PrecisionTest, ChannelsLastReachesImagesAndWeightsAndKeepsTheResult) {
  Convolved plain, last;
  const History expected = Trainer(options_of(Precision::float32)).fit(plain, images());
  TrainerOptions options = options_of(Precision::float32);
  options.channels_last = true;
  Trainer trainer(options);
  const History history = trainer.fit(last, images());
  EXPECT_FALSE(plain.seen.channels_last);
  EXPECT_TRUE(last.seen.channels_last);
  EXPECT_NEAR(history["train_loss"].back(), expected["train_loss"].back(), 1e-5);
  const Tree saved = trainer.save_state();
  trainer.load_state(last, saved);
  EXPECT_TRUE(last.convolution->weight.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(PrecisionTest, OperatorsSeeTheChannelsLastAlsoWhereBothOrdersAreTheSameMemory) {
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{2, 3, 4, 5}, {2, 1, 4, 5}, {4, 3, 1, 1}, {1, 1, 1, 1}}) {
    const torch::Tensor plain = torch::rand(shape);
    const torch::Tensor last = with_channels_last(plain);
    EXPECT_EQ(last.strides(),
              torch::rand(shape).to(torch::kFloat, false, true, at::MemoryFormat::ChannelsLast).strides())
        << at::IntArrayRef(shape);
    EXPECT_TRUE(last.equal(plain)) << at::IntArrayRef(shape);
    EXPECT_TRUE(with_channels_last(last).is_same(last) || shape.front() == 1) << at::IntArrayRef(shape);
  }
  const torch::Tensor matrix = torch::rand({2, 3});
  EXPECT_TRUE(with_channels_last(matrix).is_same(matrix));
  const torch::Tensor gray = torch::rand({2, 1, 4, 5});
  EXPECT_TRUE(with_channels_last(gray).is_alias_of(gray));
  EXPECT_EQ(torch::conv2d(with_channels_last(gray), torch::rand({3, 1, 3, 3})).suggest_memory_format(),
            at::MemoryFormat::ChannelsLast);
}

TEST(PrecisionTest, AStepThatTheScalerSkipsMovesNeitherWeightsNorSchedule) {
  torch::nn::Linear net(4, 3);
  Tailored task(
      {{"net", net.ptr()}},
      [&](const Batch& batch, StepContext& context) {
        const torch::Tensor loss =
            torch::cross_entropy_loss(net(batch.input.tensor()).to(torch::kFloat), batch.target.tensor());
        // The gradient of the third step does not fit into float16 times the scale.
        return context.stage() == Stage::train && context.step() == 2 ? loss * 1e38 : loss;
      },
      [&]() -> Optimizers {
        return {{.name = "sgd",
                 .optimizer = optim::SGD({.lr = 1.0}).on(net),
                 .schedule = schedules::lambda([](int64_t update) { return 1.0 / static_cast<double>(1 + update); },
                                               Cadence::step)}};
      });
  std::vector<double> rates, moved;
  torch::Tensor before;
  TrainerOptions options = options_of(Precision::f16);
  options.max_duration = 4_steps;
  options.scaler = {.initial_scale = 1024, .growth_interval = 100};
  options.callbacks = {Hooks{.fit_begin = [&](Trainer&) { before = net->weight.detach().clone(); },
                             .step_end =
                                 [&](Trainer& trainer) {
                                   rates.push_back(trainer.optimizers().front().optimizer->lr());
                                   moved.push_back((net->weight.detach() - before).abs().max().item<double>());
                                   before = net->weight.detach().clone();
                                 }}};
  const History history = Trainer(options).fit(task, data_of(clouds(16)));
  EXPECT_THAT(rates, ::testing::ElementsAre(1.0 / 2, 1.0 / 3, 1.0 / 3, 1.0 / 4));
  EXPECT_GT(moved[1], 0);
  EXPECT_EQ(moved[2], 0);
  EXPECT_GT(moved[3], 0);
  EXPECT_THAT(history.stop_reason(), HasSubstr("all 4 steps"));
}

TEST(PrecisionTest, DtypeCannotChangeBetweenCalls) {
  Convolved task;
  Trainer trainer(options_of(Precision::float32));
  trainer.fit(task, images());
  EXPECT_THAT(error_of([&] {
                trainer.set_options(options_of(Precision::float64));
                return 0;
              }).what,
              HasSubstr("can't change the dtype"));
}

TEST(PrecisionTest, OnCUDAToo) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "there is no CUDA device";
  for (const Precision precision : {Precision::float32, Precision::bf16, Precision::f16}) {
    Convolved task;
    TrainerOptions options = options_of(precision);
    options.device = "cuda";
    options.clip = Clip{.norm = 1.0};
    const History history = Trainer(options).fit(task, images(), images());
    EXPECT_LT(history["train_loss"].back(), history["train_loss"].front());
  }
}

}  // namespace
}  // namespace athanor::testing::precision_test
