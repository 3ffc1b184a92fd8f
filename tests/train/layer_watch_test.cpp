// SPDX-License-Identifier: Apache-2.0
// Nets in which one known place makes the first NaN or infinity: the watch must name that place.
#include "athanor/train/layer_watch.hpp"

#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "athanor/train/nets.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::layer_watch_test {
namespace {

using Stage = LayerWatch::Stage;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::Tensor;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// encoder.first, encoder.second and head, with a function of the test's between them.
struct Net : torch::nn::Module {
  using Function = std::function<Tensor(const Tensor&)>;
  explicit Net(Function between_layers = {}, Function at_end = {})
      : between(std::move(between_layers)), last(std::move(at_end)) {
    torch::manual_seed(3);
    encoder->push_back("first", torch::nn::Linear(4, 3));
    encoder->push_back("second", torch::nn::Linear(3, 3));
    register_module("encoder", encoder);
    head = register_module("head", torch::nn::Linear(3, 2));
    for (auto& parameter : parameters()) parameter.data().abs_();
  }
  Tensor forward(const Tensor& input) {
    Tensor x = encoder->forward(input);
    if (between) x = between(x);
    x = head->forward(x);
    return last ? last(x) : x;
  }
  Function between, last;
  torch::nn::Sequential encoder;
  torch::nn::Linear head = nullptr;
};

NamedTensors names(const std::shared_ptr<torch::nn::Module>& net) { return named_tensors({{"net", net}}); }

/// One forward and backward pass of ones under a watch.
LayerWatch::Finding found(const std::shared_ptr<Net>& net, const Tensor& input = torch::ones({2, 4})) {
  const LayerWatch watch(names(net));
  net->forward(input).sum().backward();
  if (!watch.finding()) ADD_FAILURE() << "nothing was found";
  return watch.finding().value_or(LayerWatch::Finding());
}
std::string described(const std::shared_ptr<Net>& net) {
  const LayerWatch watch(names(net));
  net->forward(torch::ones({2, 4})).sum().backward();
  return watch.describe();
}

TEST(LayerWatch, LogarithmOfZero) {
  auto net = std::make_shared<Net>([](const Tensor& x) { return torch::log(torch::relu(-x)); });
  const auto what = found(net);
  EXPECT_EQ(what.stage, Stage::forward);
  EXPECT_EQ(what.op, "aten::log");
  EXPECT_EQ(what.layer, "encoder.second");
  EXPECT_EQ(what.parameter, "");
  EXPECT_THAT(what.shape, ElementsAre(2, 3));
  EXPECT_EQ(what.non_finite, 6);
  EXPECT_EQ(what.numbers, 6);
  EXPECT_TRUE(what.inputs_finite);
  EXPECT_EQ(described(net),
            "aten::log gave 6 non-finite numbers of 6 in forward, after layer 'encoder.second': float32 (2, 3), from "
            "finite inputs");
}

TEST(LayerWatch, DivisionByZero) {
  const auto what = found(std::make_shared<Net>([](const Tensor& x) { return x / (x - x); }));
  EXPECT_EQ(what.op, "aten::div");
  EXPECT_EQ(what.layer, "encoder.second");
  EXPECT_TRUE(what.inputs_finite);
}

TEST(LayerWatch, OverflowOfExpAfterTheLastLayer) {
  const auto what = found(std::make_shared<Net>(nullptr, [](const Tensor& x) {
    Tensor scaled = x.detach() * 0;
    scaled[1][0] = 1000;
    return torch::exp(scaled + x);
  }));
  EXPECT_EQ(what.op, "aten::exp");
  EXPECT_EQ(what.layer, "head");
  EXPECT_EQ(what.parameter, "");
  EXPECT_EQ(what.non_finite, 1);
}

TEST(LayerWatch, OverflowInsideALayer) {
  auto net = std::make_shared<Net>();
  net->head->weight.data().fill_(3e38F);
  net->encoder->ptr<torch::nn::LinearImpl>(1)->weight.data().fill_(100);
  const auto what = found(net);
  EXPECT_EQ(what.op, "aten::addmm");
  EXPECT_EQ(what.layer, "head");
  EXPECT_THAT(what.parameter, HasSubstr("head."));
  EXPECT_TRUE(what.inputs_finite);
}

TEST(LayerWatch, ParametersThatAreNotFiniteAreToldFirst) {
  auto net = std::make_shared<Net>();
  net->encoder->ptr<torch::nn::LinearImpl>(1)->weight.data()[1][2] = nan;
  const LayerWatch watch(names(net));
  ASSERT_TRUE(watch.finding());
  EXPECT_EQ(watch.finding()->stage, Stage::before);
  EXPECT_EQ(watch.finding()->op, "");
  EXPECT_EQ(watch.describe(),
            "'encoder.second.weight' of layer 'encoder.second' holds 1 non-finite number of 9 before any operator ran: "
            "float32 (3, 3)");
}

TEST(LayerWatch, AWeightThatBecomesNaNLater) {
  auto net = std::make_shared<Net>();
  const LayerWatch watch(names(net));
  net->forward(torch::ones({2, 4})).sum().backward();
  EXPECT_EQ(watch.describe(), "every operator gave finite numbers");
  std::memcpy(net->encoder->ptr<torch::nn::LinearImpl>(1)->bias.data_ptr<float>(), &nan, sizeof nan);
  net->forward(torch::ones({2, 4}));
  ASSERT_TRUE(watch.finding());
  EXPECT_EQ(watch.finding()->layer, "encoder.second");
  EXPECT_FALSE(watch.finding()->inputs_finite);
}

TEST(LayerWatch, DataThatAreNotFinite) {
  auto net = std::make_shared<Net>();
  Tensor input = torch::ones({2, 4});
  input[1][1] = inf;
  const auto what = found(net, input);
  EXPECT_EQ(what.layer, "encoder.first");
  EXPECT_FALSE(what.inputs_finite);
  EXPECT_EQ(what.non_finite, 3);
}

TEST(LayerWatch, BackwardOfSqrtAtZero) {
  // forward is 0 * sqrt(0); backward is 0 / (2 * sqrt(0))
  auto net = std::make_shared<Net>([](const Tensor& x) { return torch::sqrt(torch::relu(-x)) * 0; });
  const auto what = found(net);
  EXPECT_EQ(what.stage, Stage::backward);
  EXPECT_EQ(what.op, "aten::div");
  EXPECT_EQ(what.within, "SqrtBackward0");
  EXPECT_EQ(what.layer, "encoder.second");
  EXPECT_EQ(what.parameter, "");
  EXPECT_TRUE(what.inputs_finite);
}

TEST(LayerWatch, ASumOfGradientsIsTracedToThePartThatIsNotFinite) {
  const auto what = found(std::make_shared<Net>([](const Tensor& x) {
    const Tensor zero = x * 0;
    return zero * 2 + torch::sqrt(zero) * 0 + zero + x;
  }));
  EXPECT_EQ(what.op, "aten::div");
  EXPECT_EQ(what.within, "SqrtBackward0");
}

TEST(LayerWatch, BackwardInsideALayer) {
  // d/dx of head is weight^T times 3e38, a sum of two that overflows
  auto net = std::make_shared<Net>(nullptr, [](const Tensor& x) { return x * 3e38; });
  net->head->weight.data().fill_(2);
  for (auto& parameter : net->encoder->parameters()) parameter.data().mul_(1e-20);
  net->head->bias.data().zero_();
  const auto what = found(net);
  EXPECT_EQ(what.stage, Stage::backward);
  EXPECT_EQ(what.op, "aten::mm");
  EXPECT_EQ(what.within, "AddmmBackward0");
  EXPECT_EQ(what.layer, "head");
}

TEST(LayerWatch, AHookOfTheProgramIsNamedByWhoReceivesIt) {
  auto net = std::make_shared<Net>([](const Tensor& x) {
    Tensor y = torch::tanh(x);
    y.register_hook([](const Tensor& gradient) { return torch::full_like(gradient, inf); });
    return y;
  });
  const auto what = found(net);
  EXPECT_EQ(what.stage, Stage::backward);
  EXPECT_EQ(what.within, "TanhBackward0");
  EXPECT_EQ(what.op, "");
  EXPECT_EQ(what.layer, "encoder.second");
}

TEST(LayerWatch, NormAtZeroIsFoundExactlyWhenTheGradientIsNotFinite) {
  for (const bool masked : {true, false}) {
    auto net = std::make_shared<Net>([&](const Tensor& x) {
      const Tensor zero = x * 0;
      return masked ? torch::norm(zero) * x : torch::sqrt((zero * zero).sum()) * x;
    });
    const LayerWatch watch(names(net));
    net->forward(torch::ones({2, 4})).sum().backward();
    bool finite = true;
    for (const auto& parameter : net->parameters()) finite = finite && parameter.grad().isfinite().all().item<bool>();
    EXPECT_EQ(finite, masked);
    EXPECT_EQ(watch.finding().has_value(), !finite) << watch.describe();
    if (!finite) {
      EXPECT_EQ(watch.finding()->layer, "encoder.second");
    }
  }
}

TEST(LayerWatch, InfinitiesOfAMaskAreNoFinding) {
  auto attention = std::make_shared<torch::nn::MultiheadAttentionImpl>(torch::nn::MultiheadAttentionOptions(4, 2));
  const LayerWatch watch(names(attention));
  const Tensor mask = torch::nn::TransformerImpl::generate_square_subsequent_mask(3);
  const Tensor x = torch::randn({3, 2, 4});
  const Tensor padding = torch::tensor({{false, false, true}, {false, false, false}});
  std::get<0>(attention->forward(x, x, x, padding, true, mask)).sum().backward();
  const Tensor scores = torch::randn({3, 3}).masked_fill(torch::ones({3, 3}).triu(1).to(torch::kBool), -inf);
  torch::logsumexp(scores, 1);
  EXPECT_EQ(watch.describe(), "every operator gave finite numbers");
  const Tensor nothing = torch::full({2, 2}, -inf);
  torch::softmax(nothing, 1);
  ASSERT_TRUE(watch.finding());
  EXPECT_EQ(watch.finding()->op, "aten::_softmax");
}

TEST(LayerWatch, UninitialisedMemoryIsNoFinding) {
  // LibTorch fills it with NaN in this mode.
  at::globalContext().setDeterministicAlgorithms(true, true);
  at::globalContext().setDeterministicFillUninitializedMemory(true);
  torch::nn::Sequential net(torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 2, 3)), torch::nn::BatchNorm2d(2),
                            torch::nn::Dropout(0.5), torch::nn::Flatten(), torch::nn::Linear(8, 2));
  {
    const LayerWatch watch(names(net.ptr()));
    for (const bool train : {true, false}) {
      net->train(train);
      Tensor target = torch::empty({2}, torch::kLong).fill_(1);
      Tensor input = torch::empty({2, 1, 4, 4}).uniform_();
      torch::nn::functional::cross_entropy(net->forward(input), target).backward();
    }
    Tensor out = torch::empty({2});
    torch::add_out(out, torch::ones({2}), torch::ones({2}));
    torch::empty({4}).view({2, 2});
    EXPECT_EQ(watch.describe(), "every operator gave finite numbers");
  }
  at::globalContext().setDeterministicAlgorithms(false, false);
}

TEST(LayerWatch, LayersAreKnownThroughViewsCastsAndCommonStorage) {
  auto net = std::make_shared<Net>();
  // All parameters in one block, as a gradient synchroniser may lay them out.
  Tensor block = torch::zeros({64});
  int64_t offset = 0;
  for (auto& parameter : net->parameters()) {
    Tensor place = block.narrow(0, offset, parameter.numel()).view(parameter.sizes());
    place.copy_(parameter.detach());
    parameter.set_data(place);
    offset += parameter.numel();
  }
  net->encoder->ptr<torch::nn::LinearImpl>(1)->weight.data().fill_(3e38F);
  EXPECT_EQ(found(net).layer, "encoder.second");
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const auto what = found(net);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(what.layer, "encoder.second");
  EXPECT_THAT(what.parameter, HasSubstr("encoder.second."));
  EXPECT_THAT(what.tensor, HasSubstr("bfloat16"));
}

TEST(LayerWatch, AFindingHasTheNameOfTheFirstPlaceOnly) {
  auto net = std::make_shared<Net>([](const Tensor& x) { return torch::log(x - x) * 0; },
                                   [](const Tensor& x) { return torch::log(x - x); });
  EXPECT_EQ(found(net).layer, "encoder.second");
}

TEST(LayerWatch, ResultsStayTheSameToTheLastBit) {
  auto run = [](bool watched) {
    torch::manual_seed(5);
    torch::nn::Sequential net(torch::nn::Linear(4, 8), torch::nn::BatchNorm1d(8), torch::nn::Dropout(0.3),
                              torch::nn::ReLU(torch::nn::ReLUOptions(true)), torch::nn::Linear(8, 2));
    const std::optional<LayerWatch> watch =
        watched ? std::optional<LayerWatch>(std::in_place, names(net.ptr())) : std::nullopt;
    const Tensor input = torch::randn({6, 4});
    for (int i = 0; i < 3; ++i) {
      net->forward(input).square().sum().backward();
      torch::NoGradGuard no_grad;
      for (auto& parameter : net->parameters()) parameter.sub_(parameter.grad(), 0.01);
    }
    std::vector<Tensor> tensors = net->parameters();
    for (const Tensor& buffer : net->buffers()) tensors.push_back(buffer);
    for (const Tensor& parameter : net->parameters()) tensors.push_back(parameter.grad());
    tensors.push_back(torch::rand({3}));
    return tensors;
  };
  const auto with = run(true);
  const auto without = run(false);
  ASSERT_EQ(with.size(), without.size());
  for (size_t i = 0; i < with.size(); ++i) EXPECT_TRUE(torch::equal(with[i], without[i])) << i;
}

TEST(LayerWatch, OneAtATimeAndNothingIsLeftBehind) {
  {
    const LayerWatch watch({});
    EXPECT_EQ(error_of([] { return LayerWatch({}).describe(); }).what, "another LayerWatch lives");
    torch::log(torch::zeros({1}));
    EXPECT_EQ(watch.finding()->layer, "");
    EXPECT_THAT(watch.describe(), HasSubstr("before the first layer"));
  }
  EXPECT_FALSE(at::hasThreadLocalCallbacks());
  EXPECT_EQ(LayerWatch({}).describe(), "every operator gave finite numbers");
}

}  // namespace
}  // namespace athanor::layer_watch_test
