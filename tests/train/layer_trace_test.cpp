// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/layer_trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "athanor/core/error.hpp"
#include "athanor/train/layer_match.hpp"
#include "athanor/train/nets.hpp"
#include "athanor/train/parameter_places.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::layer_trace_test {
namespace {

using ::testing::ElementsAre;

TEST(ParameterPlaces, ViewsBelongToTheirParameter) {
  const torch::Tensor first = torch::zeros({4, 3}), second = torch::zeros({5});
  ParameterPlaces places({first, second});
  EXPECT_EQ(places.find(first), 0u);
  EXPECT_EQ(places.find(first.t()), 0u);
  EXPECT_EQ(places.find(first[3]), 0u);
  EXPECT_EQ(places.find(second.slice(0, 2)), 1u);
  EXPECT_EQ(places.find(first.clone()), std::nullopt);
  EXPECT_EQ(places.find(torch::zeros({0})), std::nullopt);
  EXPECT_EQ(places.find(torch::Tensor()), std::nullopt);
}

// All parameters in one memory, as a flattened net has them, one of them within another.
TEST(ParameterPlaces, NeighboursInOneMemory) {
  const torch::Tensor all = torch::zeros({100});
  ParameterPlaces places({all.slice(0, 50, 60), all.slice(0, 0, 50), all.slice(0, 60, 100), all.slice(0, 10, 20)});
  EXPECT_EQ(places.find(all), 1u);
  EXPECT_EQ(places.find(all.slice(0, 55)), 0u);
  EXPECT_EQ(places.find(all.slice(0, 99)), 2u);
  EXPECT_EQ(places.find(all.slice(0, 15)), 1u);  // of several the first
  EXPECT_EQ(places.find(all.slice(0, 30)), 1u);
}

TEST(ParameterPlaces, ADerivedTensorCountsAsLongAsItLives) {
  const torch::Tensor weight = torch::zeros({4});
  ParameterPlaces places({torch::zeros({2}), weight});
  torch::Tensor cast = weight.to(torch::kDouble);
  const void* memory = cast.data_ptr();
  EXPECT_EQ(places.find(cast), std::nullopt);
  places.derive(cast, 1);
  EXPECT_EQ(places.find(cast), 1u);
  EXPECT_EQ(places.find(cast.slice(0, 2)), 1u);
  cast.reset();
  const torch::Tensor other = torch::zeros({4}, torch::kDouble);
  if (other.data_ptr() == memory) {
    EXPECT_EQ(places.find(other), std::nullopt);
  }
}

std::vector<std::string> names_of(const LayerTrace& trace) {
  std::vector<std::string> names;
  for (const TracedOperator& op : trace.operators()) names.push_back(op.name);
  return names;
}

TEST(LayerTrace, TwoAtATimeOnAThread) {
  ParameterPlaces places({});
  LayerTrace outer(places);
  const torch::Tensor zeros = torch::zeros({2});
  {
    const LayerTrace inner(places);
    EXPECT_EQ(error_of([&] {
                LayerTrace third(places);
                return 0;
              }).what,
              "the operators of this thread are being recorded already");
    zeros.relu();
    EXPECT_THAT(names_of(inner), ElementsAre("relu"));
  }
  zeros.tanh();
  EXPECT_THAT(names_of(outer), ElementsAre("zeros", "relu", "tanh"));
}

TEST(LayerTrace, LeavesBackwardAndPausesOut) {
  ParameterPlaces places({});
  const torch::Tensor weight = torch::ones({2}, torch::requires_grad());
  const LayerTrace trace(places);
  const torch::Tensor loss = weight.tanh().sum();
  const auto gradient = torch::autograd::grad({loss}, {weight}, {}, {}, /*create_graph=*/true).front();
  {
    const LayerTrace::Pause pause;
    weight.detach().add_(gradient.detach());
  }
  gradient.relu();
  std::vector<std::string> names = names_of(trace);
  std::erase(names, "ones_like");  // the root of the backward pass
  EXPECT_THAT(names, ElementsAre("tanh", "sum", "relu"));
}

TEST(LayerTrace, AnotherAfterTheFirst) {
  ParameterPlaces places({});
  LayerTrace trace(places);
  trace.stop();
  LayerTrace second(places);
  torch::relu(torch::zeros({2, 3}));
  ASSERT_EQ(second.operators().size(), 2u);
  EXPECT_EQ(second.operators()[1].name, "relu");
  EXPECT_THAT(second.operators()[1].outputs.front().shape, ElementsAre(2, 3));
  EXPECT_EQ(second.operators()[1].outputs.front().bytes(), 24);
  EXPECT_TRUE(trace.operators().empty());
}

// The head of a Sequential, the part between two of its children, its end, and its second run.
TEST(LayerMatch, ASequentialThatRunsTwice) {
  using namespace torch::nn;
  Sequential net(ReLU(), Linear(3, 3), Tanh(), Dropout(), Linear(3, 3), ReLU());
  net->eval();
  const LayerTree tree({{"net", net.ptr()}});
  std::vector<torch::Tensor> held;
  for (const auto& each : tree.held()) held.push_back(each.tensor);
  ParameterPlaces places(held);
  LayerTrace trace(places);
  net->forward(net->forward(torch::zeros({1, 3})));
  trace.stop();
  std::vector<size_t> order;
  for (const LayerCall& call : match_layers(tree, trace.operators()).calls) order.push_back(call.layer);
  // Between the two runs are two relus: the last layer's and the first one's.
  EXPECT_THAT(order, ElementsAre(1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6));
}

// torchkeras#106 and others; the header of a run shows this number.
TEST(CountParameters, SharedOnesOnce) {
  struct Tied : torch::nn::Module {
    torch::nn::Linear first = register_module("first", torch::nn::Linear(3, 3));
    torch::nn::Linear second = register_module("second", first);
    torch::nn::Linear third = register_module("third", torch::nn::Linear(3, 1));
  };
  const auto net = std::make_shared<Tied>();
  EXPECT_EQ(count_parameters({{"net", net}}), 12 + 4);
  net->third->bias.requires_grad_(false);
  EXPECT_EQ(count_parameters({{"net", net}}), 12 + 3);
}

}  // namespace
}  // namespace athanor::testing::layer_trace_test
