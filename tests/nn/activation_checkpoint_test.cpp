// SPDX-License-Identifier: Apache-2.0
// A checkpointed part against the same layers undivided: equal to the last bit, with fewer bytes between forward and
// backward.
#include "athanor/nn/activation_checkpoint.hpp"

#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <torch/torch.h>

#include "athanor/nn/net.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::activation_checkpoint_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::Tensor;

/// Draws in training, and keeps a random buffer that decides its result: state that the second run must see again.
struct Drifting : torch::nn::Cloneable<Drifting> {
  Drifting() { Drifting::reset(); }
  void reset() override { drift = register_buffer("drift", torch::ones({1})); }
  Tensor forward(const Tensor& input) {
    if (is_training()) {
      torch::NoGradGuard no_grad;
      drift.mul_(1.25).add_(torch::rand({1}));
    }
    return input * drift.clone();  // a copy, so that a second use may write to the buffer
  }
  Tensor drift;
};

torch::nn::Sequential layers(uint64_t seed = 1) {
  torch::manual_seed(seed);
  torch::nn::Sequential net;
  net->push_back("in", torch::nn::Linear(6, 8));
  net->push_back("norm", torch::nn::BatchNorm1d(8));
  net->push_back("relu", torch::nn::ReLU());
  net->push_back("drop", torch::nn::Dropout(0.4));
  net->push_back("middle", torch::nn::Linear(8, 8));
  net->push_back("drift", Drifting());
  net->push_back("norm2", torch::nn::BatchNorm1d(8));
  net->push_back("drop2", torch::nn::Dropout(0.2));
  net->push_back("out", torch::nn::Linear(8, 6));
  return net;
}

using Forward = std::function<Tensor(const Tensor&)>;

/// Everything that three steps leave behind: losses, gradients, buffers, the gradient of the input, the generator.
std::vector<Tensor> steps(torch::nn::Module& net, const Forward& forward, bool input_gradient, int uses = 1) {
  torch::manual_seed(7);
  std::vector<Tensor> results;
  for (int step = 0; step < 3; ++step) {
    const Tensor input = torch::randn({5, 6}).set_requires_grad(input_gradient);
    Tensor value = input;
    Tensor loss = torch::zeros({});
    for (int use = 0; use < uses; ++use) {
      value = forward(value);
      loss = loss + value.square().mean();
    }
    loss.backward();
    results.push_back(loss.detach());
    if (input_gradient) results.push_back(input.grad());
    for (const auto& item : net.named_parameters()) results.push_back(item.value().grad().clone());
    for (const auto& item : net.named_buffers()) results.push_back(item.value().clone());
    torch::NoGradGuard no_grad;
    for (Tensor& parameter : net.parameters()) parameter.sub_(parameter.grad(), 0.05);
    if (step == 1) net.zero_grad();  // the third step has no earlier gradients to add to, the second has
  }
  results.push_back(torch::rand({4}));
  return results;
}

void expect_equal(const std::vector<Tensor>& left, const std::vector<Tensor>& right) {
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i)
    EXPECT_TRUE(torch::equal(left[i], right[i])) << i << "\n" << left[i] << right[i];
}

class Segments : public ::testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(ActivationCheckpoint, Segments, ::testing::Values(1, 2, 3, 4, 9));

TEST_P(Segments, LossGradientsBuffersAndRandomNumbersAreThoseOfTheUndividedNet) {
  for (const bool input_gradient : {false, true}) {
    auto plain = layers();
    auto part = checkpointed(layers(), {.segments = GetParam()});
    expect_equal(steps(
                     *part, [&](const Tensor& x) { return part->forward(x); }, input_gradient),
                 steps(
                     *plain, [&](const Tensor& x) { return plain->forward(x); }, input_gradient));
  }
}

TEST_P(Segments, SeveralUsesInOneGraph) {
  auto plain = layers();
  auto part = checkpointed(layers(), {.segments = GetParam()});
  expect_equal(steps(
                   *part, [&](const Tensor& x) { return part->forward(x); }, true, 3),
               steps(
                   *plain, [&](const Tensor& x) { return plain->forward(x); }, true, 3));
}

TEST_P(Segments, AutocastIsTheSameInTheSecondRun) {
  // Backward runs outside of autocast, as it should.
  auto under_autocast = [](auto net, const Tensor& x) {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    Tensor y = net->forward(x);
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    return y.to(torch::kFloat);
  };
  auto plain = layers();
  auto part = checkpointed(layers(), {.segments = GetParam()});
  expect_equal(steps(
                   *part, [&](const Tensor& x) { return under_autocast(part, x); }, true),
               steps(
                   *plain, [&](const Tensor& x) { return under_autocast(plain, x); }, true));
  EXPECT_TRUE(at::autocast::is_autocast_cache_enabled());
}

TEST(ActivationCheckpoint, AutocastThatIsStillOnInBackwardLosesNoGradient) {
  // The cache of cast weights must not hold what the first run, without gradients, has cast.
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  auto net = torch::nn::Sequential(torch::nn::Linear(4, 4), torch::nn::Linear(4, 4));
  auto part = checkpointed(net, {.segments = 1});
  const Tensor x = torch::randn({3, 4});
  (part->forward(x).to(torch::kFloat).sum() + net->forward(x).to(torch::kFloat).sum()).backward();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  const Tensor twice = net->ptr(0)->parameters()[0].grad().clone();
  net->zero_grad();
  net->forward(x).sum().backward();
  const Tensor once = net->ptr(0)->parameters()[0].grad();
  // bfloat16 has 8 bits: 2^-8 for each of about three roundings of sums of 4 numbers.
  EXPECT_TRUE(torch::allclose(twice, 2 * once, 0.03, 0.03)) << twice << once;
}

TEST(ActivationCheckpoint, NamesAreThoseOfTheSequential) {
  auto plain = layers();
  auto part = checkpointed(plain, {.segments = 2});
  EXPECT_EQ(part->named_parameters().keys(), plain->named_parameters().keys());
  EXPECT_EQ(part->named_buffers().keys(), plain->named_buffers().keys());
  EXPECT_EQ(part->named_parameters()["in.weight"].unsafeGetTensorImpl(),
            plain->named_parameters()["in.weight"].unsafeGetTensorImpl());
  const Net net(part);
  EXPECT_EQ(net.module(), part);
  EXPECT_EQ(net.forward(torch::zeros({2, 6})).tensor().sizes(), (std::vector<int64_t>{2, 6}));
}

TEST(ActivationCheckpoint, AClonedPartIsItsOwn) {
  auto part = checkpointed(layers(), {.segments = 3});
  const auto copy = std::dynamic_pointer_cast<Checkpointed<>>(part->clone());
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->named_parameters().keys(), part->named_parameters().keys());
  EXPECT_EQ(copy->options().segments, 3);
  part->eval();
  copy->eval();
  const Tensor x = torch::randn({2, 6});
  EXPECT_TRUE(torch::equal(copy->forward(x), part->forward(x)));
  {
    torch::NoGradGuard no_grad;
    part->parameters()[0].zero_();
  }
  EXPECT_FALSE(torch::equal(copy->forward(x), part->forward(x)));
}

TEST(ActivationCheckpoint, ModesOfTheLayersAreKept) {
  auto plain = layers();
  plain->ptr(1)->eval();
  auto part = checkpointed(plain);
  EXPECT_TRUE(part->is_training());
  EXPECT_FALSE(part->ptr(1)->is_training());
  plain->eval();
  EXPECT_FALSE(checkpointed(plain)->is_training());
}

TEST(ActivationCheckpoint, EvalModeAndNoGradientsRunStraightThrough) {
  auto plain = layers();
  auto part = checkpointed(plain);
  const Tensor x = torch::randn({2, 6});
  {
    torch::NoGradGuard no_grad;
    EXPECT_FALSE(part->forward(x).requires_grad());
  }
  part->eval();
  const Tensor y = part->forward(x);
  EXPECT_TRUE(torch::equal(y, plain->forward(x)));
  EXPECT_EQ(y.grad_fn()->name(), "AddmmBackward0");
}

TEST(ActivationCheckpoint, PartsWithoutGradientsAndUnusedParameters) {
  auto net = torch::nn::Sequential(torch::nn::Linear(3, 3), torch::nn::ReLU(), torch::nn::Linear(3, 3));
  for (Tensor& parameter : net->ptr(0)->parameters()) parameter.set_requires_grad(false);
  auto part = checkpointed(net, {.segments = 3});
  part->forward(torch::ones({2, 3})).sum().backward();
  EXPECT_FALSE(net->ptr(0)->parameters()[0].grad().defined());
  EXPECT_TRUE(net->ptr(2)->parameters()[0].grad().defined());
  // Integers have no gradient, the table behind them has.
  auto words = checkpointed(torch::nn::Sequential(torch::nn::Embedding(5, 3), torch::nn::Linear(3, 1)));
  words->forward(torch::tensor({1, 3})).sum().backward();
  EXPECT_EQ(words->parameters()[0].grad().abs().sum(1).nonzero().numel(), 2);
  // A part that is not used by the loss at all.
  Tensor x = torch::ones({2, 3}, torch::requires_grad());
  (part->forward(x).detach().sum() + x.sum()).backward();
  EXPECT_TRUE(torch::equal(x.grad(), torch::ones({2, 3})));
}

TEST(ActivationCheckpoint, GradientsOfChosenTensorsOnly) {
  auto part = checkpointed(layers(), {.segments = 2});
  auto plain = layers();
  const Tensor x = torch::randn({5, 6}, torch::requires_grad());
  auto gradients = [&](torch::nn::Module& net, const Tensor& y) {
    return torch::autograd::grad({y.sum()}, {x, net.parameters()[0]});
  };
  torch::manual_seed(1);
  const auto a = gradients(*part, part->forward(x));
  torch::manual_seed(1);
  const auto b = gradients(*plain, plain->forward(x));
  expect_equal(a, b);
  EXPECT_FALSE(part->parameters()[0].grad().defined());
}

/// Bytes that the CPU allocator has handed out on this thread and not got back.
struct LiveBytes : c10::MemoryReportingInfoBase {
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override { live += bytes; }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }
  std::atomic<int64_t> live = 0;
};

TEST(ActivationCheckpoint, FewerBytesLieBetweenForwardAndBackward) {
  // 12 blocks of Linear(64, 64) and Tanh, batch 256: an activation has 64 KiB, and each block keeps one (Tanh its
  // output, Linear the same tensor as its input).
  constexpr int64_t activation = 256 * 64 * 4;
  auto make = [] {
    torch::nn::Sequential net;
    for (int i = 0; i < 12; ++i) {
      net->push_back(torch::nn::Linear(64, 64));
      net->push_back(torch::nn::Tanh());
    }
    return net;
  };
  auto kept = [&](const Forward& forward) {
    const Tensor input = torch::randn({256, 64});
    auto bytes = std::make_shared<LiveBytes>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, bytes);
    const Tensor loss = forward(input).sum();
    return bytes->live.load();
  };
  auto plain = make();
  const int64_t undivided = kept([&](const Tensor& x) { return plain->forward(x); });
  EXPECT_GE(undivided, 12 * activation);
  for (const int64_t segments : {1, 2, 3, 4}) {
    auto part = checkpointed(plain, {.segments = segments});
    const int64_t divided = kept([&](const Tensor& x) { return part->forward(x); });
    // The inputs of all segments but the first, which is the data; a few KiB for the loss.
    EXPECT_GE(divided, (segments - 1) * activation);
    EXPECT_LT(divided, (segments - 1) * activation + 16384) << segments;
    RecordProperty("bytes_with_" + std::to_string(segments), static_cast<int>(divided));
  }
}

TEST(ActivationCheckpoint, SecondDerivativesAreRefused) {
  auto part = checkpointed(layers());
  const Tensor x = torch::randn({5, 6}, torch::requires_grad());
  const auto parts = error_of([&] {
    return torch::autograd::grad({part->forward(x).sum()}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true);
  });
  EXPECT_EQ(parts.what, "the gradient of a checkpointed part can't be differentiated again");
  EXPECT_EQ(parts.where, "backward with create_graph");
}

TEST(ActivationCheckpoint, BackwardTwiceThroughARetainedGraph) {
  auto part = checkpointed(layers());
  const Tensor x = torch::randn({5, 6}, torch::requires_grad());
  const Tensor loss = part->forward(x).sum();
  loss.backward({}, /*retain_graph=*/true);
  const Tensor once = x.grad().clone();
  loss.backward();
  EXPECT_TRUE(torch::equal(x.grad(), 2 * once));
}

TEST(ActivationCheckpoint, LayersThatWriteIntoTheInputAreRefused) {
  auto part = checkpointed(torch::nn::Sequential(torch::nn::Linear(3, 3), torch::nn::ReLU(torch::nn::ReLUOptions(true)),
                                                 torch::nn::Linear(3, 3)),
                           {.segments = 3});
  const auto parts = error_of([&] { return part->forward(torch::randn({2, 3})); });
  EXPECT_THAT(parts.what, HasSubstr("writes into the input of a checkpointed segment"));
  EXPECT_THAT(parts.where, HasSubstr("ReLU"));
  // Inside a segment it is allowed.
  auto inside = checkpointed(torch::nn::Sequential(std::shared_ptr<torch::nn::SequentialImpl>(part)), {.segments = 1});
  inside->forward(torch::randn({2, 3})).sum().backward();
}

TEST(ActivationCheckpoint, AWeightChangedBeforeBackwardIsNoticed) {
  auto part = checkpointed(layers());
  const Tensor loss = part->forward(torch::randn({5, 6})).sum();
  {
    torch::NoGradGuard no_grad;
    part->parameters()[0].mul_(2);
  }
  EXPECT_THROW(loss.backward(), c10::Error);
}

TEST(ActivationCheckpoint, SegmentsThatDoNotFitAreRefused) {
  EXPECT_EQ(error_of([] { return checkpointed(layers(), {.segments = 10}); }).got, "10 segments for 9 layers");
  EXPECT_EQ(error_of([] { return checkpointed(layers(), {.segments = 0}); }).expected,
            "from 1 to the number of layers");
  EXPECT_EQ(error_of([] { return checkpointed(torch::nn::Sequential()); }).what, "there are no layers to checkpoint");
}

TEST(ActivationCheckpoint, LayersThatAreAddedLaterAreRun) {
  auto part = checkpointed(torch::nn::Sequential(torch::nn::Linear(3, 3), torch::nn::Linear(3, 3)));
  part->push_back(torch::nn::Linear(3, 7));
  EXPECT_EQ(part->forward(torch::ones({2, 3})).size(1), 7);
}

}  // namespace
}  // namespace athanor::activation_checkpoint_test
