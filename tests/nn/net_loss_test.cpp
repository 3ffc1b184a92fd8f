// SPDX-License-Identifier: Apache-2.0
// Nets and losses under one type: what may be given, how inputs meet forward(), and what is refused.
#include <gmock/gmock.h>
#include <torch/torch.h>

#include "athanor/nn/loss.hpp"
#include "athanor/nn/net.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::net_loss_test {
namespace {

using ::testing::HasSubstr;
using torch::Tensor;

const Tensor& x() {
  static const Tensor tensor = torch::arange(6, torch::kFloat).view({3, 2});
  return tensor;
}
Tree inputs(int count) {
  Tree::List list;
  for (int i = 0; i < count; ++i) list.emplace_back(x() + i);
  return Tree::list(std::move(list));
}

struct Doubler : torch::nn::Module {
  Doubler() : weight(register_parameter("weight", torch::full({1}, 2.0))) {}
  Tensor forward(const Tensor& input) { return input * weight; }
  Tensor weight;
};
struct Two : torch::nn::Module {
  Tensor forward(Tensor a, Tensor b) { return a - b; }
};
struct OneToThree : torch::nn::Module {
  Tensor forward(const Tensor& a) { return a; }
  Tensor forward(const Tensor& a, const Tensor& b) { return a + 10 * b; }
  Tensor forward(const Tensor& a, const Tensor& b, const Tensor& c) { return a + 10 * b + 100 * c; }
};
struct Listed : torch::nn::Module {
  Tensor forward(const std::vector<Tensor>& all) { return torch::stack(all).sum(0); }
};
struct Structured : torch::nn::Module {
  Tree forward(const Tree& input) { return {{"left", input["a"].tensor() + 1}, {"right", input["b"][1].tensor() + 2}}; }
};
template <class R>
struct Returns : torch::nn::Module {
  explicit Returns(std::function<R(Tensor)> make) : make(std::move(make)) {}
  R forward(Tensor input) { return make(input); }
  std::function<R(Tensor)> make;
};

TEST(Net, EveryWayToGiveAModule) {
  torch::nn::Linear linear(2, 2);
  const Tensor expected = linear->forward(x());
  EXPECT_TRUE(torch::equal(Net(linear).forward(x()).tensor(), expected));
  EXPECT_EQ(Net(linear).module(), linear.ptr());
  EXPECT_TRUE(torch::equal(Net(linear.ptr()).forward(x()).tensor(), expected));
  torch::nn::Sequential sequential(linear, torch::nn::ReLU());
  EXPECT_TRUE(torch::equal(Net(sequential).forward(x()).tensor(), expected.relu()));
  EXPECT_EQ(Net(sequential).module()->parameters().size(), 2u);
  EXPECT_TRUE(torch::equal(Net(std::make_shared<Doubler>()).forward(x()).tensor(), x() * 2));
}

TEST(Net, AnObjectThatIsGivenByNameStaysTheCallers) {
  Doubler object;
  const Net net(object);
  EXPECT_EQ(net.module().get(), &object);
  {
    torch::NoGradGuard no_grad;
    object.weight.fill_(5);
  }
  EXPECT_TRUE(torch::equal(net.forward(x()).tensor(), x() * 5));
}

TEST(Net, ATemporaryObjectIsMovedIn) {
  std::optional<Net> net;
  net.emplace(Doubler());
  EXPECT_TRUE(torch::equal(net->forward(x()).tensor(), x() * 2));
  ASSERT_EQ(net->module()->parameters().size(), 1u);
  torch::NoGradGuard no_grad;
  net->module()->parameters()[0].fill_(3);
  EXPECT_TRUE(torch::equal(net->forward(x()).tensor(), x() * 3));
}

TEST(Net, TakesAsManyTensorsAsForwardDoes) {
  EXPECT_TRUE(torch::equal(Net(Two()).forward(inputs(2)).tensor(), torch::full({3, 2}, -1.0)));
  const Net net{OneToThree()};
  EXPECT_TRUE(torch::equal(net.forward(x()).tensor(), x()));
  EXPECT_TRUE(torch::equal(net.forward(inputs(1)).tensor(), x()));
  EXPECT_TRUE(torch::equal(net.forward(inputs(2)).tensor(), x() + 10 * (x() + 1)));
  EXPECT_TRUE(torch::equal(net.forward(inputs(3)).tensor(), x() + 10 * (x() + 1) + 100 * (x() + 2)));
  EXPECT_TRUE(torch::equal(Net(Listed()).forward(inputs(4)).tensor(), 4 * x() + 6));
  const Tree tree = {{"a", x()}, {"b", inputs(2)}};
  EXPECT_TRUE(torch::equal(Net(Structured()).forward(tree)["left"].tensor(), x() + 1));
  EXPECT_TRUE(torch::equal(Net(Structured()).forward(tree)["right"].tensor(), x() + 3));
  torch::nn::Sequential sequential(Two{}, torch::nn::ReLU());
  EXPECT_TRUE(torch::equal(Net(sequential).forward(inputs(2)).tensor(), torch::zeros({3, 2})));
}

TEST(Net, GivesBackWhateverForwardReturns) {
  const Net tuple(Returns<std::tuple<Tensor, Tensor, Tensor>>([](Tensor t) { return std::tuple(t, t * 2, t * 3); }));
  EXPECT_EQ(tuple.forward(x()).size(), 3u);
  EXPECT_TRUE(torch::equal(tuple.forward(x())[2].tensor(), x() * 3));
  using Nested = std::pair<Tensor, std::tuple<Tensor, Tensor>>;  // as LSTM does
  const Net pair(Returns<Nested>([](Tensor t) { return Nested(t, {t * 2, t * 3}); }));
  EXPECT_TRUE(torch::equal(pair.forward(x())[1][1].tensor(), x() * 3));
  const Net vector(Returns<std::vector<Tensor>>([](Tensor t) { return std::vector{t, t * 2}; }));
  EXPECT_TRUE(torch::equal(vector.forward(x())[1].tensor(), x() * 2));
  using Map = std::map<std::string, Tensor>;
  const Net map(Returns<Map>([](Tensor t) { return Map{{"mean", t}, {"spread", t * 2}}; }));
  EXPECT_TRUE(torch::equal(map.forward(x())["spread"].tensor(), x() * 2));
  const Net lstm(torch::nn::LSTM(2, 5));
  const Tree output = lstm.forward(x().unsqueeze(1));
  EXPECT_EQ(output[0].tensor().sizes(), (std::vector<int64_t>{3, 1, 5}));
  EXPECT_EQ(output[1][0].tensor().sizes(), (std::vector<int64_t>{1, 1, 5}));
}

TEST(Net, AnotherNumberOfInputsIsRefused) {
  const Error::Parts two = error_of([] { return Net(Doubler()).forward(inputs(2)); });
  EXPECT_EQ(two.what, "the net's forward() does not take such an input");
  EXPECT_EQ(two.got, "[float32 (3, 2), float32 (3, 2)]");
  EXPECT_EQ(two.expected, "one tensor");
  EXPECT_THAT(two.todo, HasSubstr("as many input tensors as forward() takes"));
  EXPECT_EQ(error_of([] { return Net(Two()).forward(x()); }).expected, "several tensors, as a list");
  EXPECT_EQ(error_of([] { return Net(Two()).forward(inputs(3)); }).expected, "several tensors, as a list");
  EXPECT_EQ(error_of([] { return Net(Doubler()).forward({{"image", x()}}); }).got, "{image: float32 (3, 2)}");
}

double value(const Loss& loss, const Tree& predictions, const Tree& target) {
  return loss(predictions, target).item<double>();
}

Tensor absolute(const Tensor& predictions, const Tensor& target) { return (predictions - target).abs().mean(); }

TEST(Loss, EveryCallable) {
  const Tree target = x() + 2;
  EXPECT_EQ(value([](const Tensor& p, const Tensor& t) { return (p - t).abs().mean(); }, x(), target), 2);
  EXPECT_EQ(value([](Tensor p, Tensor t) { return (p - t).abs().mean(); }, x(), target), 2);
  EXPECT_EQ(value([](const auto& p, const auto& t) { return (p - t).abs().mean(); }, x(), target), 2);
  EXPECT_EQ(value(absolute, x(), target), 2);
  EXPECT_EQ(value(&absolute, x(), target), 2);
  EXPECT_EQ(value([](const Tensor& p) { return p.mean(); }, x(), {}), 2.5);
  EXPECT_EQ(value([](const auto& p) { return p.mean(); }, x(), {}), 2.5);
  EXPECT_EQ(value(std::function<Tensor(const Tensor&, const Tensor&)>(absolute), x(), target), 2);
  auto of_trees = [](const Tree& p, const Tree& t) { return (p[1].tensor() - t["y"].tensor()).abs().mean(); };
  EXPECT_EQ(value(of_trees, inputs(2), {{"y", x()}}), 1);
  EXPECT_EQ(value(torch::nn::SmoothL1Loss(), x(), target), 1.5);
  EXPECT_EQ(value(torch::nn::MSELoss(), x(), target), 4);
  EXPECT_FALSE(Loss().defined());
}

TEST(Loss, ATreeReachesALossOfTensorsByItsFirstTensor) { EXPECT_EQ(value(absolute, inputs(2), Tree(x() + 2)), 2); }

TEST(Loss, OursEqualLibTorchs) {
  torch::manual_seed(1);
  const Tensor logits = torch::randn({6, 4});
  const Tensor classes = torch::tensor({0, 3, 1, 2, 0, 3});
  const Tensor other = torch::rand({6, 4});
  namespace F = torch::nn::functional;
  auto expect_equal = [](const Loss& loss, const Tensor& p, const Tensor& t, const Tensor& expected) {
    EXPECT_TRUE(torch::equal(loss(p, t), expected));
    EXPECT_EQ(loss(p, t).dim(), 0);
  };
  expect_equal(loss::cross_entropy, logits, classes, F::cross_entropy(logits, classes));
  expect_equal(loss::cross_entropy, logits, other.softmax(1), F::cross_entropy(logits, other.softmax(1)));
  expect_equal(loss::binary_cross_entropy, logits, other, F::binary_cross_entropy_with_logits(logits, other));
  expect_equal(loss::binary_cross_entropy, logits, other.round().to(torch::kLong),
               F::binary_cross_entropy_with_logits(logits, other.round()));
  expect_equal(loss::mse, logits, other, F::mse_loss(logits, other));
  expect_equal(loss::mae, logits, other, F::l1_loss(logits, other));
  EXPECT_TRUE(Loss(loss::cross_entropy).target_is_class_index());
  EXPECT_FALSE(Loss(loss::mse).target_is_class_index());
}

TEST(Loss, ShapesThatWouldBroadcastAreRefused) {
  for (const auto& [loss, name] : {std::pair<Loss, const char*>(loss::mse, "mean squared error"),
                                   {loss::mae, "mean absolute error"},
                                   {loss::binary_cross_entropy, "binary cross entropy"}}) {
    const Error::Parts parts = error_of([&loss = loss] { return loss(torch::zeros({4, 1}), torch::zeros({4})); });
    EXPECT_EQ(parts.what, std::string(name) + " needs predictions and targets of one shape");
    EXPECT_EQ(parts.got, "float32 (4, 1) and float32 (4)");
    EXPECT_THAT(parts.todo, HasSubstr("unsqueeze(1)"));
  }
}

}  // namespace
}  // namespace athanor::net_loss_test
