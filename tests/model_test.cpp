// SPDX-License-Identifier: Apache-2.0
// Model: one call that trains, shows, keeps and continues; evaluation, prediction and weights files.
#include "athanor/model.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "athanor/nn/chain.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::model_test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct ModelTest : ::testing::Test {
  ModelTest() { fs::remove_all(folder); }
  ~ModelTest() override { fs::remove_all(folder); }
  fs::path folder = fs::path(::testing::TempDir()) /
                    (std::string("athanor_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());

  const Examples train = clouds(62);
  const Examples test = clouds(21, 2);

  [[nodiscard]] FitOptions options(int64_t epochs) const {
    return {.validation = data_of(test),
            .epochs = epochs,
            .batch_size = 8,
            .verbosity = Verbosity::silent,
            .device = "cpu",
            .host = HostOptions::untouched()};
  }
};

Model classifier(const std::shared_ptr<Small>& net, optim::Recipe optimizer = optim::Adam({.lr = 0.02})) {
  return Model(net, {.loss = loss::cross_entropy, .optimizer = std::move(optimizer), .metrics = {metrics::accuracy()}});
}

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST_F(ModelTest, LearnsAndSaysHowItWent) {
  auto net = std::make_shared<Small>(1);
  Model model = classifier(net);
  const History history = model.fit(data_of(train), options(15));
  EXPECT_THAT(history.names(), ElementsAre("train_loss", "train_acc", "val_loss", "val_acc"));
  EXPECT_EQ(history.epochs().size(), 15u);
  EXPECT_GT(history["val_acc"].back(), 0.75);
  EXPECT_LT(history["val_loss"].back(), history["val_loss"].front());
  EXPECT_EQ(history.best()->monitor, "val_loss");
  const Values values = model.evaluate(data_of(test), {.batch_size = 5});
  EXPECT_THAT(values.names(), ElementsAre("test_loss", "test_acc"));
  EXPECT_NEAR(values["test_loss"], history.best()->value, 1e-6);
  const std::vector<double> losses = history["val_loss"];
  EXPECT_EQ(history.best()->value, *std::min_element(losses.begin(), losses.end()));
  EXPECT_EQ(model.evaluate(data_of(test).named("held_out")).names()[1], "held_out_acc");
}

TEST_F(ModelTest, PredictNeedsNoTargetsAndKeepsTheOrder) {
  auto net = std::make_shared<Small>(1);
  Model model = classifier(net);
  model.fit(data_of(train), options(1));
  const torch::Tensor predictions = model.predict(Data(test.input), {.batch_size = 4}).tensor();
  net->eval();
  EXPECT_TRUE(torch::allclose(predictions, net->forward(test.input), 1e-5, 1e-6));
  EXPECT_TRUE(torch::equal(predictions, model.predict(data_of(test), {.batch_size = 4}).tensor()));
  EXPECT_TRUE(torch::equal(Model(net).predict(Data(test.input), {.batch_size = 4}).tensor(), predictions));
}

TEST_F(ModelTest, ASecondFitContinues) {
  auto whole_net = std::make_shared<Small>(1);
  Model whole = classifier(whole_net);
  FitOptions all = options(5);
  all.restore_best = RestoreBest::never;
  const History expected = whole.fit(data_of(train), all);

  auto net = std::make_shared<Small>(1);
  Model model = classifier(net);
  FitOptions part = all;
  part.epochs = 2;
  model.fit(data_of(train), part);
  part.epochs = 3;
  const History history = model.fit(data_of(train), part);
  EXPECT_EQ(history.last().number, 5);
  EXPECT_EQ(history["val_loss"], expected["val_loss"]);
  EXPECT_EQ(history.best(), expected.best());
  expect_same(weights_of(whole_net), weights_of(net));
}

TEST_F(ModelTest, AFitThatIsRefusedForgetsNoBest) {
  auto net = std::make_shared<Small>(1);
  Model model = classifier(net);
  const History first = model.fit(data_of(train), options(6));
  FitOptions typing_error = options(1);
  typing_error.monitor = "val_lss";
  EXPECT_THROW(model.fit(data_of(train), typing_error), Error);
  model = Model(std::move(model));
  const Data wrong(test.input, (test.target + 1).remainder(3));
  FitOptions worse = options(1);
  worse.validation = wrong;
  const Tree best = weights_of(net);
  EXPECT_EQ(model.fit(data_of(train), worse).best(), first.best());
  expect_same(best, weights_of(net));
}

TEST_F(ModelTest, ASecondFitMayDoWithoutValidation) {
  Model model = classifier(std::make_shared<Small>(1));
  model.fit(data_of(train), options(1));
  FitOptions without = options(1);
  without.validation = {};
  EXPECT_EQ(model.fit(data_of(train), without).best()->monitor, "train_loss");
}

TEST_F(ModelTest, StopsWhenPatienceRunsOutAndHoldsTheBestWeights) {
  auto net = std::make_shared<Small>(1);
  Model model = classifier(net);
  FitOptions upwards = options(20);
  upwards.mode = Mode::max;  // of a loss that falls
  upwards.patience = 2;
  Tree first;
  upwards.callbacks = {Hooks{.epoch_end = [&](Trainer& trainer) {
    if (trainer.position().epoch == 1) first = weights_of(net);
  }}};
  const History history = model.fit(data_of(train), upwards);
  EXPECT_EQ(history.epochs().size(), 3u);
  EXPECT_EQ(history.stop_reason(), "no improvement of val_loss for 2 epochs");
  EXPECT_EQ(history.best()->epoch, 1);
  expect_same(first, weights_of(net));
}

TEST_F(ModelTest, AValidationSplitIsTheEndOfTheData) {
  Model split = classifier(std::make_shared<Small>(1));
  FitOptions half = options(2);
  half.validation = {};
  half.validation_split = 0.5;
  const History expected = split.fit(data_of(train), half);
  Model given = classifier(std::make_shared<Small>(1));
  FitOptions same = options(2);
  same.validation = {train.input.slice(0, 31), train.target.slice(0, 31)};
  const History history = given.fit({train.input.slice(0, 0, 31), train.target.slice(0, 0, 31)}, same);
  EXPECT_EQ(history["val_loss"], expected["val_loss"]);
  EXPECT_EQ(history["train_loss"], expected["train_loss"]);
}

struct Siamese : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& left, const torch::Tensor& right) { return out(left - right).squeeze(1); }
  torch::nn::Linear out = register_module("out", torch::nn::Linear(4, 1));
};

TEST_F(ModelTest, SeveralInputsNoTargetAndMetricsOfOnesOwn) {
  Siamese net;
  Model model(net,
              {.loss = [](const torch::Tensor& out) { return (out - 1).pow(2).mean(); },
               .metrics = {{"mean_out", [](const torch::Tensor& out, const torch::Tensor&) { return out.mean(); }}}});
  FitOptions plain = options(30);
  const Tree pair = Tree::list({Tree(train.input), Tree(train.input.flip(1))});
  plain.validation = Data(pair, {});
  const History history = model.fit(Data(pair, {}), plain);
  EXPECT_LT(history["val_loss"].back(), history["val_loss"].front());
  EXPECT_EQ(history.names()[1], "train_mean_out");
  EXPECT_EQ(model.predict(Data(pair, {})).tensor().size(0), 62);
}

TEST_F(ModelTest, AnOptimizerOfLibTorchTrains) {
  auto net = std::make_shared<Small>(1);
  auto sgd = std::make_shared<torch::optim::SGD>(net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  Model model = classifier(net, sgd);
  const History history = model.fit(data_of(train), options(8));
  EXPECT_LT(history["val_loss"].back(), 0.9 * history["val_loss"].front());
}

TEST_F(ModelTest, WithoutAnOptimizerItIsAdamAndTheHeaderSaysSo) {
  auto by_default = std::make_shared<Small>(1);
  Model model = classifier(by_default, {});
  FitOptions shown = options(1);
  shown.verbosity = Verbosity::normal;
  ::testing::internal::CaptureStdout();
  model.fit(data_of(train), shown);
  const std::string text = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, AllOf(HasSubstr("optimizer=Adam(lr 0.001) by default"), HasSubstr("val_acc")));
  auto told = std::make_shared<Small>(1);
  classifier(told, optim::Adam({.lr = 1e-3})).fit(data_of(train), options(1));
  expect_same(weights_of(told), weights_of(by_default));
}

TEST_F(ModelTest, SilentPrintsNothing) {
  Model model = classifier(std::make_shared<Small>(1));
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  FitOptions silent = options(2);
  silent.run = folder / "run";
  model.fit(data_of(train), silent);
  model.evaluate(data_of(test));
  static_cast<void>(model.predict(data_of(test)));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(ModelTest, ARunFolderHoldsTheRunAndIsNeverWrittenOver) {
  FitOptions kept = options(3);
  kept.run = folder / "run";
  History history;
  {
    Model model = classifier(std::make_shared<Small>(1));
    history = model.fit(data_of(train), kept);
  }
  const std::string csv = text_of(folder / "run" / "history.csv");
  EXPECT_THAT(csv,
              HasSubstr("epoch,steps,seconds,train_loss,train_acc,val_loss,val_acc,lr,momentum,weight_decay\n1,8,"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 4);
  EXPECT_THAT(text_of(folder / "run" / "curves.svg"), HasSubstr("<svg"));
  const std::string best = text_of(folder / "run" / "best.safetensors");

  Model other = classifier(std::make_shared<Small>(2));
  other.fit(data_of(train), kept);
  other.fit(data_of(train), kept);  // goes on in its own folder
  EXPECT_EQ(text_of(folder / "run" / "history.csv"), csv);
  EXPECT_EQ(text_of(folder / "run" / "best.safetensors"), best);
  EXPECT_THAT(text_of(folder / "run-2" / "history.csv"), HasSubstr("\n6,48,"));
  EXPECT_TRUE(fs::exists(folder / "run-2" / "best.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "run-3"));

  Classifier first;
  Classifier second;
  TrainerOptions trained = quiet(Duration::epochs(1));
  trained.run = folder / "tasks";
  Trainer trainer(trained);
  trainer.fit(first, data_of(train));
  trainer.fit(second, data_of(train));
  EXPECT_TRUE(fs::exists(folder / "tasks-2" / "history.csv"));
}

bool python(const std::string& script, const fs::path& file) {
  const std::string command = std::string(ATHANOR_TEST_PYTHON) + " -c \"import sys, torch; from safetensors.torch " +
                              "import load_file, save_file; path = sys.argv[1]; " + script + "\" '" + file.string() +
                              "'";
  return std::system(command.c_str()) == 0;
}

TEST_F(ModelTest, WeightsGoToAFileAndBack) {
  fs::create_directories(folder);
  auto net = std::make_shared<Small>(1);
  Model model = classifier(net);
  model.fit(data_of(train), options(2));
  model.save_weights(folder / "w.safetensors");
  auto other = std::make_shared<Small>(50);
  expect_other(weights_of(net), weights_of(other));
  classifier(other).load_weights(folder / "w.safetensors");
  expect_same(weights_of(net), weights_of(other));
}

TEST_F(ModelTest, WeightsAreExchangedWithThePythonPackage) {
  fs::create_directories(folder);
  auto net = std::make_shared<Small>(1);
  Model model = classifier(net);
  model.save_weights(folder / "w.safetensors");
  EXPECT_TRUE(
      python("t = load_file(path); "
             "net = torch.nn.ModuleDict({'in': torch.nn.Linear(4, 8), 'norm': torch.nn.BatchNorm1d(8), "
             "'drop': torch.nn.Dropout(), 'out': torch.nn.Linear(8, 3)}); net.load_state_dict(t); "
             "save_file({k: v + 1 for k, v in net.state_dict().items()}, path)",
             folder / "w.safetensors"));
  const Tree before = weights_of(net);
  model.load_weights(folder / "w.safetensors");
  const Tree after = weights_of(net);
  for (const auto& [name, tensor] : after.entries()) {
    EXPECT_TRUE(torch::equal(tensor.tensor(), before[name].tensor() + 1)) << name;
  }
}

TEST_F(ModelTest, TheWeightsOfAnotherNetAreRefusedOneByOne) {
  fs::create_directories(folder);
  torch::nn::Sequential wide(torch::nn::Linear(4, 9), torch::nn::Linear(9, 3));
  Model(wide).save_weights(folder / "wide.safetensors");
  torch::nn::Sequential narrow(torch::nn::Linear(4, 9), torch::nn::Linear(torch::nn::LinearOptions(9, 2).bias(false)));
  narrow->push_back("head", torch::nn::Linear(2, 1));
  const Tree before = weights_of(narrow.ptr());
  Model model(narrow);
  const Error::Parts parts = error_of([&] { model.load_weights(folder / "wide.safetensors"); });
  const std::string all = parts.what + parts.where + parts.got + parts.expected + parts.todo;
  EXPECT_THAT(all, AllOf(HasSubstr("wide.safetensors"), HasSubstr("1.weight"), HasSubstr("1.bias"),
                         HasSubstr("head.weight"), HasSubstr("head.bias")));
  EXPECT_THAT(all, ::testing::Not(HasSubstr("0.weight")));
  expect_same(before, weights_of(narrow.ptr()));
}

TEST_F(ModelTest, NetsInAChainTrainTogetherAndApart) {
  const Examples train = clouds(60);
  torch::nn::Linear body(4, 8), head(8, 3);
  for (torch::Tensor& parameter : body->parameters()) parameter.set_requires_grad(false);
  Model model(
      chain({body, torch::nn::Tanh(), head}),
      {.loss = loss::cross_entropy, .optimizer = optim::Adam({.lr = 0.05}), .groups = {{"2.bias", {.lr = 0.01}}}});
  const torch::Tensor before = body->weight.clone();
  const History history = model.fit(data_of(train), {.epochs = 5, .verbosity = Verbosity::silent});
  EXPECT_TRUE(torch::equal(before, body->weight));
  EXPECT_LT(history["train_loss"].back(), history["train_loss"].front());
  EXPECT_EQ(history["lr_1"].front(), 0.01);
  EXPECT_EQ(model.task().nets().front().module->named_parameters()["0.weight"].data_ptr(), body->weight.data_ptr());
  EXPECT_THROW(static_cast<void>(chain({})), Error);
}

TEST_F(ModelTest, ANetMayReturnItsOwnLoss) {
  struct Own : torch::nn::Module {
    Own() : linear(register_module("linear", torch::nn::Linear(4, 3))) {}
    std::map<std::string, torch::Tensor> forward(const torch::Tensor& input, const torch::Tensor& target) {
      const torch::Tensor logits = linear(input);
      return {{"logits", logits}, {"loss", torch::cross_entropy_loss(logits, target)}};
    }
    torch::nn::Linear linear;
  };
  const Examples train = clouds(60);
  Model model(std::make_shared<Own>(), {.loss = loss::of_net, .optimizer = optim::Adam({.lr = 0.05})});
  const History history =
      model.fit(Data(Tree::list({train.input, train.target}), {}), {.epochs = 5, .verbosity = Verbosity::silent});
  EXPECT_LT(history["train_loss"].back(), history["train_loss"].front());
}

// Weights of 0, 1 and 2 equal leaving samples out, as they are, and doubling them, up to the number that is divided by.
TEST_F(ModelTest, SampleAndClassWeightsMultiplyTheLoss) {
  const Examples data = clouds(6);
  torch::nn::Linear net(4, 3);
  const auto loss_of = [&](const Data& weighted, std::vector<double> class_weight) {
    torch::nn::Linear copy(4, 3);
    {
      torch::NoGradGuard no_grad;
      copy->weight.copy_(net->weight);
      copy->bias.copy_(net->bias);
    }
    Model model(copy, {.loss = loss::cross_entropy, .optimizer = optim::SGD({.lr = 0})});
    return model
        .fit(weighted, {.epochs = 1,
                        .batch_size = 6,
                        .class_weight = std::move(class_weight),
                        .verbosity = Verbosity::silent})["train_loss"]
        .front();
  };
  const torch::Tensor each = torch::cross_entropy_loss(net(data.input), data.target, {}, at::Reduction::None);
  const torch::Tensor weight = torch::tensor({0.0, 1.0, 2.0, 1.0, 0.5, 0.0});
  EXPECT_NEAR(loss_of(Data(data.input, data.target, weight), {}), (each * weight).mean().item<double>(), 1e-6);
  const torch::Tensor of_class = torch::tensor({1.0, 3.0, 0.5}).index_select(0, data.target);
  EXPECT_NEAR(loss_of(data_of(data), {1.0, 3.0, 0.5}), (each * of_class).mean().item<double>(), 1e-6);
  EXPECT_NEAR(loss_of(Data(data.input, data.target, weight), {1.0, 3.0, 0.5}),
              (each * of_class * weight).mean().item<double>(), 1e-6);
  Model custom(
      net, {.loss = [](const torch::Tensor& a, const torch::Tensor& b) { return torch::cross_entropy_loss(a, b); }});
  EXPECT_THROW(custom.fit(Data(data.input, data.target, weight), {.epochs = 1, .verbosity = Verbosity::silent}), Error);
}

}  // namespace
}  // namespace athanor::testing::model_test
