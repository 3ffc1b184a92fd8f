// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/summary.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "athanor/core/error.hpp"
#include "tests/core/error_of.hpp"
#include "tests/nn/summary_nets.hpp"

namespace athanor::testing::summary_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using namespace torch::nn;

const Summary::Layer& layer_of(const Summary& summary, const std::string& path) {
  for (const Summary::Layer& layer : summary.layers) {
    if (layer.path == path) return layer;
  }
  throw std::runtime_error("no layer " + path);
}

template <class... T>
auto shape(T... sizes) {
  return ElementsAre(ElementsAre(sizes...));
}

// ---- defects of others

// torchkeras#106 and others: only leaves are hooked, so what a composite module holds itself is lost.
TEST(SummaryDefects, Torchkeras106ParametersOfCompositeModulesAreCounted) {
  struct Composite : Module {
    torch::Tensor forward(const torch::Tensor& x) { return inner(x) + table.sum(); }
    torch::Tensor table = register_parameter("table", torch::zeros({10, 100}));
    Linear inner = register_module("inner", Linear(LinearOptions(5, 2).bias(false)));
  };
  const Summary found = summary(std::make_shared<Composite>(), torch::zeros({1, 5}));
  EXPECT_EQ(found.parameters, 1010);
  EXPECT_EQ(found.trainable, 1010);
  EXPECT_EQ(layer_of(found, "").parameters, 1000);
  EXPECT_EQ(layer_of(found, "inner").parameters, 10);
  EXPECT_EQ(found.parameter_bytes, 4 * 1010);
}

TEST(SummaryDefects, ASharedParameterIsCountedOnceAndSaid) {
  struct Tied : Module {
    Tied() { decoder->weight = decoder->register_parameter("tied", embedding->weight); }
    torch::Tensor forward(const torch::Tensor& x) { return decoder(embedding(x)); }
    Embedding embedding = register_module("embedding", Embedding(30, 4));
    Linear decoder = register_module("decoder", Linear(LinearOptions(4, 30)));
  };
  const Summary found = summary(std::make_shared<Tied>(), torch::zeros({2}, torch::kLong));
  const Summary::Layer& decoder = layer_of(found, "decoder");
  EXPECT_EQ(found.parameters, 120 + 120 + 30);  // the decoder's first weight is still registered
  EXPECT_EQ(decoder.shared, 120);
  EXPECT_EQ(decoder.shared_with, "embedding");
  EXPECT_THAT(found.text(), HasSubstr("(120 shared with embedding)"));
  // The weight belongs to both: the operator says which of them ran.
  EXPECT_THAT(layer_of(found, "embedding").shapes, shape(2, 4));
  EXPECT_THAT(decoder.shapes, shape(2, 30));
  EXPECT_EQ(decoder.multiply_adds, 2 * (120 + 30));
  EXPECT_EQ(layer_of(found, "embedding").multiply_adds, 0);
}

TEST(SummaryDefects, AModuleRegisteredTwiceIsCountedOnce) {
  const Summary found = summary(std::make_shared<SharedNet>(), torch::zeros({3, 20}));
  EXPECT_EQ(found.parameters, 420 + 105);
  EXPECT_EQ(found.parameter_bytes, 4 * (420 + 105));
  EXPECT_EQ(layer_of(found, "second").shared, 420);
  EXPECT_EQ(layer_of(found, "second").parameters, 0);
  EXPECT_EQ(layer_of(found, "second").note, "the same module as first");
  EXPECT_EQ(layer_of(found, "first").calls + layer_of(found, "second").calls, 4);
}

TEST(SummaryDefects, FrozenParametersAreNotTrainable) {
  const Summary found = summary(frozen_net(), torch::zeros({2, 3, 8, 8}));
  EXPECT_EQ(found.frozen, 8 * 27 + 8 + 5);
  EXPECT_EQ(found.trainable, found.parameters - found.frozen);
  EXPECT_EQ(layer_of(found, "0").frozen, 224);
  EXPECT_EQ(layer_of(found, "4").frozen, 5);
  EXPECT_THAT(found.text(), AllOf(HasSubstr("224 frozen"), HasSubstr("1,445, 5 frozen")));
}

// ---- the net stays as it is

/// Writes wherever a net can write: parameters, buffers in any mode, the generator.
struct Restless : Module {
  Restless() {
    norm->eval();  // frozen
    first->weight.requires_grad_(false);
  }
  torch::Tensor forward(const torch::Tensor& x) {
    const torch::NoGradGuard no_grad;
    first->weight.mul_(0.5);
    first->weight[0].zero_();
    steps += 1;
    torch::add_out(running, running, torch::ones({3}));
    norm->running_mean.copy_(torch::rand({4}));
    return drop(norm2(norm(first(x)))) + torch::rand({4});
  }
  Linear first = register_module("first", Linear(3, 4));
  BatchNorm1d norm = register_module("norm", BatchNorm1d(4));
  BatchNorm1d norm2 = register_module("norm2", BatchNorm1d(4));
  Dropout drop = register_module("drop", Dropout(0.5));
  torch::Tensor steps = register_buffer("steps", torch::zeros({}, torch::kLong));
  torch::Tensor running = register_buffer("running", torch::randn({3}));
};

TEST(Summary, LeavesTheNetUnchangedBitForBit) {
  auto net = std::make_shared<Restless>();
  net->first->bias.mutable_grad() = torch::randn({4});
  const auto tensors = [&] {
    std::vector<torch::Tensor> all;
    for (const auto& item : net->named_parameters()) all.push_back(item.value());
    for (const auto& item : net->named_buffers()) all.push_back(item.value());
    all.push_back(net->first->bias.grad());
    return all;
  };
  const auto before = tensors();
  std::vector<torch::Tensor> copies;
  std::vector<bool> wanted;
  for (const torch::Tensor& tensor : before) {
    copies.push_back(tensor.detach().clone());
    wanted.push_back(tensor.requires_grad());
  }
  const torch::Tensor example = torch::randn({5, 3});
  const torch::Tensor generator = at::globalContext().defaultGenerator(at::kCPU).get_state();
  const Summary found = summary(net, example);
  EXPECT_TRUE(torch::equal(generator, at::globalContext().defaultGenerator(at::kCPU).get_state()));
  const auto after = tensors();
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(after[i].is_same(before[i]));
    EXPECT_EQ(std::memcmp(after[i].data_ptr(), copies[i].data_ptr(), copies[i].nbytes()), 0) << i;
    EXPECT_EQ(after[i].requires_grad(), wanted[i]);
  }
  EXPECT_TRUE(net->is_training() && net->norm2->is_training() && net->drop->is_training());
  EXPECT_FALSE(net->norm->is_training());
  EXPECT_TRUE(torch::GradMode::is_enabled());
  EXPECT_THAT(layer_of(found, "norm2").shapes, shape(5, 4));
}

TEST(Summary, LeavesTheNetUnchangedWhenItFails) {
  auto net = std::make_shared<Restless>();
  const torch::Tensor weight = net->first->weight.clone(), mean = net->norm->running_mean.clone();
  const torch::Tensor example = torch::randn({5, 2});
  const torch::Tensor generator = at::globalContext().defaultGenerator(at::kCPU).get_state();
  EXPECT_THROW(static_cast<void>(summary(net, example)), Error);
  EXPECT_TRUE(torch::equal(weight, net->first->weight));
  EXPECT_TRUE(torch::equal(mean, net->norm->running_mean));
  EXPECT_EQ(net->steps.item<int64_t>(), 0);
  EXPECT_TRUE(net->is_training());
  EXPECT_TRUE(torch::equal(generator, at::globalContext().defaultGenerator(at::kCPU).get_state()));
  static_cast<void>(summary(net, torch::randn({5, 3})));  // nothing is left behind on this thread
}

// ---- what is seen

// The dropouts of an encoder layer are not registered in the order in which they run.
TEST(Summary, DropoutsOfATransformerHaveTheirOwnShapes) {
  const Summary found = summary(std::make_shared<EncoderNet>(), torch::zeros({6, 3, 16}));
  EXPECT_THAT(layer_of(found, "layers.0.dropout").shapes, shape(6, 3, 32));
  EXPECT_THAT(layer_of(found, "layers.0.dropout1").shapes, shape(6, 3, 16));
  EXPECT_THAT(layer_of(found, "layers.1.self_attn").shapes, shape(6, 3, 16));
  // Projections and products: 18 positions, 4 heads of 4, 6 x 6 pairs of 3 samples.
  EXPECT_EQ(layer_of(found, "layers.1.self_attn").multiply_adds, 18 * 3 * (256 + 16) + 2 * 3 * 36 * 16);
  EXPECT_EQ(layer_of(found, "layers.1.self_attn.out_proj").multiply_adds, 18 * (256 + 16));
}

TEST(Summary, AResNetHasNoDoubts) {
  const Summary found = summary(std::make_shared<ResNet>(), torch::zeros({2, 3, 64, 64}));
  for (const Summary::Layer& layer : found.layers) {
    EXPECT_EQ(layer.output, Summary::Output::known) << layer.path << " " << layer.note;
  }
  EXPECT_THAT(layer_of(found, "layer2.0.relu").shapes, shape(2, 32, 8, 8));
  EXPECT_EQ(layer_of(found, "layer2.0.relu").calls, 2);
  EXPECT_THAT(layer_of(found, "layer2.0").shapes, shape(2, 32, 8, 8));
  EXPECT_EQ(layer_of(found, "conv1").multiply_adds, 16 * 3 * 49 * 2 * 32 * 32);
}

TEST(Summary, WhatDidNotRunIsSaid) {
  struct Unused : Module {
    torch::Tensor forward(const torch::Tensor& x) { return used(x).square(); }
    Linear used = register_module("used", Linear(2, 2));
    Linear spare = register_module("spare", Linear(2, 7));
    ReLU relu = register_module("relu", ReLU());
  };
  const Summary found = summary(std::make_shared<Unused>(), torch::zeros({1, 2}));
  for (const char* path : {"spare", "relu"}) {
    EXPECT_EQ(layer_of(found, path).output, Summary::Output::not_seen);
    EXPECT_THAT(layer_of(found, path).shapes, IsEmpty());
    EXPECT_EQ(layer_of(found, path).note, "not seen in this pass");
  }
  EXPECT_EQ(found.parameters, 6 + 21);
  EXPECT_THAT(found.text(), HasSubstr("Note            spare: not seen in this pass"));
}

TEST(Summary, AnUnknownForwardLeavesADoubtThatIsSaid) {
  struct Inner : Module {
    torch::Tensor forward(const torch::Tensor& x) { return layer(x).relu(); }
    Conv2d layer = register_module("layer", Conv2d(Conv2dOptions(1, 2, 1)));
  };
  struct Flattens : Module {
    torch::Tensor forward(const torch::Tensor& x) { return head(inner->forward(x).flatten(1)); }
    std::shared_ptr<Inner> inner = register_module("inner", std::make_shared<Inner>());
    Linear head = register_module("head", Linear(8, 3));
  };
  const Summary found = summary(std::make_shared<Flattens>(), torch::zeros({5, 1, 2, 2}));
  const Summary::Layer& inner = layer_of(found, "inner");
  EXPECT_EQ(inner.output, Summary::Output::unsure);  // the flatten may be its own
  EXPECT_THAT(inner.shapes, ElementsAre(ElementsAre(5, 2, 2, 2), ElementsAre(5, 8)));
  EXPECT_THAT(found.text(), HasSubstr("(5, 2, 2, 2) or (5, 8) ?"));
  EXPECT_THAT(layer_of(found, "").shapes, shape(5, 3));
}

TEST(Summary, SeveralOfAKindInAnUnknownForwardLeaveADoubt) {
  struct Mixed : Module {
    torch::Tensor forward(const torch::Tensor& x) { return b(second(a(first(x)))); }
    Linear first = register_module("first", Linear(2, 3)), second = register_module("second", Linear(3, 4));
    ReLU b = register_module("b", ReLU()), a = register_module("a", ReLU());
  };
  const Summary found = summary(std::make_shared<Mixed>(), torch::zeros({1, 2}));
  for (const char* path : {"a", "b"}) {
    EXPECT_EQ(layer_of(found, path).output, Summary::Output::unsure) << path;
    EXPECT_THAT(layer_of(found, path).note, HasSubstr("order of execution"));
  }
}

TEST(Summary, ALayerOfOnesOwnIsSeen) {
  struct Scaled : Module {  // a leaf of a class that nobody knows
    torch::Tensor forward(const torch::Tensor& x) { return torch::matmul(x, weight.t()).tanh() * gain; }
    torch::Tensor weight = register_parameter("weight", torch::randn({6, 4}));
    torch::Tensor gain = register_parameter("gain", torch::ones({6}));
  };
  Sequential net(Linear(3, 4), Scaled(), ReLU());
  const Summary found = summary(net, torch::zeros({2, 3}));
  EXPECT_THAT(layer_of(found, "1").shapes, shape(2, 6));
  EXPECT_EQ(layer_of(found, "1").type, "Scaled");
  EXPECT_EQ(layer_of(found, "1").calls, 1);
  EXPECT_EQ(layer_of(found, "1").multiply_adds, 2 * 24);
  EXPECT_EQ(layer_of(found, "2").output, Summary::Output::known);
}

TEST(Summary, DtypesAndBytes) {
  Sequential net(Linear(3, 4), ReLU());
  net->to(torch::kDouble);
  const Summary found = summary(net, torch::zeros({2, 3}, torch::kDouble));
  EXPECT_EQ(layer_of(found, "0").dtype, "float64");
  EXPECT_EQ(found.input_bytes, 48);
  EXPECT_EQ(found.activation_bytes, 2 * 64);
  EXPECT_EQ(found.parameter_bytes, 8 * 16);
  const Summary text = summary(std::make_shared<TextNet>(), torch::zeros({5, 9}, torch::kLong));
  EXPECT_EQ(text.input_bytes, 360);
  EXPECT_EQ(layer_of(text, "embedding").dtype, "float32");
}

TEST(Summary, ANetOfTheCallersOwnIsNotMoved) {
  OwnNet net;
  EXPECT_EQ(summary(net, torch::zeros({4, 16})).parameters, 1136);
  Linear alone(3, 4);
  const Summary found = summary(alone, torch::zeros({2, 3}));
  EXPECT_EQ(found.layers.size(), 1u);
  EXPECT_EQ(found.multiply_adds, 32);
  EXPECT_THAT(found.layers.front().shapes, shape(2, 4));
}

// ---- bad input

TEST(SummaryRefusals, AWrongShapeNamesTheLayerAndWhatWasThere) {
  Sequential net(Conv2d(Conv2dOptions(1, 4, 3)), ReLU(), Flatten(), Linear(4 * 36, 10));
  const auto parts = error_of([&] { return summary(net, torch::zeros({2, 1, 9, 9})); });
  EXPECT_THAT(parts.what, AllOf(HasSubstr("the net does not take this example"), HasSubstr("2x196 and 144x10")));
  EXPECT_EQ(parts.where, "layer '3' (Linear), operator addmm");
  EXPECT_THAT(parts.got, AllOf(HasSubstr("float32 (2, 196)"), HasSubstr("the example is float32 (2, 1, 9, 9)")));
  EXPECT_EQ(parts.expected, "float32 with a last dimension of 144");
  const auto channels = error_of([&] { return summary(net, torch::zeros({2, 3, 8, 8})); });
  EXPECT_EQ(channels.where, "layer '0' (Conv2d), operator conv2d");
  EXPECT_EQ(channels.expected, "float32 (N, channels, height, width) with 1 channels for each group");
}

TEST(SummaryRefusals, WhatAModuleChecksItselfIsNamedToo) {
  Sequential net(Conv1d(Conv1dOptions(2, 3, 1)), BatchNorm2d(3));
  const auto parts = error_of([&] { return summary(net, torch::zeros({4, 2, 5})); });
  EXPECT_THAT(parts.what, HasSubstr("expected 4D input (got 3D input)"));
  EXPECT_EQ(parts.where, "layer '1' (BatchNorm2d), before its operator");
  EXPECT_THAT(parts.got, HasSubstr("float32 (4, 3, 5) from operator conv1d"));
  EXPECT_EQ(parts.expected, "float32 (N, channels, height, width) with 3 channels");
}

TEST(SummaryRefusals, InsideOfAModuleOfOnesOwn) {
  const auto parts = error_of([&] { return summary(std::make_shared<LstmNet>(), torch::zeros({7, 3, 11})); });
  EXPECT_THAT(parts.where, HasSubstr("the next one registered is layer 'lstm' (LSTM)"));
  EXPECT_THAT(parts.got, HasSubstr("float32 (7, 3, 11)"));
  const auto dtype = error_of([&] { return summary(std::make_shared<TextNet>(), torch::zeros({5, 9})); });
  EXPECT_EQ(dtype.where, "layer 'embedding' (Embedding), operator embedding");
  EXPECT_EQ(dtype.expected, "int64 or int32, from 0 to 49");
}

TEST(SummaryRefusals, TheNumberOfInputsIsChecked) {
  Linear net(3, 4);
  const Tree two(std::vector<torch::Tensor>{torch::zeros({2, 3}), torch::zeros({2, 3})});
  EXPECT_EQ(error_of([&] { return summary(net, two); }).expected, "one tensor");
}

// ---- as text and JSON

TEST(Summary, Text) {
  Sequential net(Conv2d(Conv2dOptions(1, 2, 3)), ReLU(), Flatten(), Linear(8, 3));
  EXPECT_EQ(summary(net, torch::zeros({1, 1, 4, 4})).text(),
            "Layer (type)   Output shape  Parameters  Multiply-adds\n"
            "------------------------------------------------------\n"
            "Sequential     (1, 3)\n"
            "  0 (Conv2d)   (1, 2, 2, 2)          20             80\n"
            "  1 (ReLU)     (1, 2, 2, 2)\n"
            "  2 (Flatten)  (1, 8)\n"
            "  3 (Linear)   (1, 3)                27             27\n"
            "------------------------------------------------------\n"
            "Parameters      47 (47 trainable, 0 frozen)\n"
            "Multiply-adds   107\n"
            "Memory          input 64 B, activations and their gradients 88 B, parameters 188 B, buffers 0 B\n");
}

TEST(Summary, DeeperLayersAreAddedUp) {
  const Summary found = summary(std::make_shared<ResNet>(), torch::zeros({2, 3, 64, 64}));
  const std::string text = found.text({.depth = 1});
  EXPECT_THAT(text, AllOf(HasSubstr("layer1 (Sequential)"), Not(HasSubstr("bn2")), HasSubstr("9,344")));
}

TEST(Summary, Json) {
  const Summary found = summary(std::make_shared<OwnNet>(), torch::zeros({4, 16}));
  const auto json = nlohmann::json::parse(found.json());
  EXPECT_EQ(json["parameters"], 1136);
  EXPECT_EQ(json["frozen"], 48);
  EXPECT_EQ(json["multiply_adds"], found.multiply_adds);
  ASSERT_EQ(json["layers"].size(), 5u);
  EXPECT_EQ(json["layers"][2]["path"], "body.0");
  EXPECT_EQ(json["layers"][2]["shapes"], (std::vector<std::vector<int64_t>>{{4, 32}}));
  EXPECT_EQ(json["layers"][2]["output"], "known");
}

}  // namespace
}  // namespace athanor::testing::summary_test
