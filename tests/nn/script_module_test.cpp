// SPDX-License-Identifier: Apache-2.0
// TorchScript of Python trained here and opened in Python again.
#include "athanor/nn/script_module.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "athanor/checkpoint/torch_file.hpp"
#include "athanor/model.hpp"
#include "athanor/train/nets.hpp"
#include "tests/core/error_of.hpp"
#include "tests/process.hpp"
#include "tests/temporary_folder.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::script_module_test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const fs::path recorded = ATHANOR_SOURCE_DIR "/tests/nn/recorded/script";

Finished peer(const std::string& what, const fs::path& folder) {
  return run_process(ATHANOR_TEST_PYTHON " " ATHANOR_SOURCE_DIR "/tests/nn/script_module_peer.py " + what + " '" +
                     folder.string() + "'");
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void write(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

torch::Tensor output_of(const Net& net, const torch::Tensor& input) {
  const torch::NoGradGuard no_grad;
  net.module()->eval();
  return net.forward(Tree(input)).tensor();
}

/// Two builds of PyTorch may sum in another order: a few rounding errors of numbers near 1.
void expect_near(const torch::Tensor& got, const torch::Tensor& expected) {
  ASSERT_EQ(got.sizes(), expected.sizes());
  EXPECT_LT((got - expected).abs().max().item<double>(), 1e-6);
}

TEST(ScriptModules, GiveWhatPythonGives) {
  const Net net = load_script_module(recorded / "net.pt");
  const Tree expected = load_torch_file(recorded / "case.pt");
  expect_near(output_of(net, expected["input"].tensor()), expected["output"].tensor());
}

TEST(ScriptModules, HaveTheNamesModesAndGradientsOfPython) {
  const Net net = load_script_module(recorded / "net.pt");
  std::vector<std::string> names;
  for (const auto& [name, tensor] : named_tensors({{.name = "net", .module = net.module()}})) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("block.linear.weight", "block.linear.bias", "block.norm.weight", "block.norm.bias",
                                 "out.weight", "out.bias", "block.norm.running_mean", "block.norm.running_var",
                                 "block.norm.num_batches_tracked"));
  EXPECT_TRUE(net.module()->is_training());
  EXPECT_FALSE(net.module()->named_parameters()["out.bias"].requires_grad()) << "frozen in Python";
  EXPECT_TRUE(net.module()->named_parameters()["out.weight"].requires_grad());
}

TEST(ScriptModules, TrainAndEvalReachEverySubmodule) {
  const Net net = load_script_module(recorded / "net.pt");
  const torch::Tensor input = torch::randn({64, 4});
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(torch::equal(net.forward(Tree(input)).tensor(), net.forward(Tree(input)).tensor())) << "dropout";
  net.module()->eval();
  EXPECT_TRUE(torch::equal(net.forward(Tree(input)).tensor(), net.forward(Tree(input)).tensor()));
  const torch::Tensor mean = net.module()->named_buffers()["block.norm.running_mean"].clone();
  { const EvalMode eval({{.name = "net", .module = net.module()}}); }
  EXPECT_FALSE(net.module()->is_training());
  net.module()->children()[0]->train();
  static_cast<void>(net.forward(Tree(input)));
  EXPECT_FALSE(torch::equal(mean, net.module()->named_buffers()["block.norm.running_mean"]))
      << "a part alone in train mode";
}

TEST(ScriptModules, SeveralArgumentsAndDictionaries) {
  const Net net = load_script_module(recorded / "pair.pt");
  const torch::Tensor a = torch::tensor({5.0F}), b = torch::tensor({3.0F});
  const Tree result = net.forward(Tree::list({Tree(a), Tree(b)}));
  EXPECT_EQ(result[0]["sum"].tensor().item<float>(), 8);
  EXPECT_EQ(result[0]["product"].tensor().item<float>(), 15);
  EXPECT_EQ(result[1].tensor().item<float>(), 2);
}

/// Trains what Python made, saves it, and lets Python open it.
TEST(ScriptModules, AreTrainedHereAndOpenedInPython) {
  const TemporaryFolder folder;
  const Finished made = peer("make", folder.path());
  const bool has_torch = made.status == 0;
  if (!has_torch) {
    ASSERT_EQ(made.status, 77) << made.errors;
    for (const char* name : {"net.pt", "case.pt"}) fs::copy_file(recorded / name, folder.path() / name);
  }
  RecordProperty("reference", has_torch ? "Python" : "recorded");
  Net net = load_script_module(folder.path() / "net.pt");
  const torch::Tensor bias = net.module()->named_parameters()["out.bias"].clone();
  Model model(net,
              {.loss = loss::cross_entropy, .optimizer = optim::Adam({.lr = 0.02}), .metrics = {metrics::accuracy()}});
  const Examples data = clouds(240);
  const Examples other = clouds(90, 2);
  const History history = model.fit(
      {data.input, data.target},
      {.validation = {other.input, other.target}, .epochs = 8, .verbosity = Verbosity::silent, .device = "cpu"});
  EXPECT_GT(history["val_acc"].back(), 0.85) << "three clouds, two standard deviations apart: 0.33 untrained";
  EXPECT_TRUE(torch::equal(bias, net.module()->named_parameters()["out.bias"])) << "frozen in Python";

  save_script_module(net, folder.path() / "trained.pt");
  const torch::Tensor input = load_torch_file(folder.path() / "case.pt")["input"].tensor();
  const torch::Tensor output = output_of(net, input);
  expect_near(output_of(load_script_module(folder.path() / "trained.pt"), input), output);
  if (!has_torch) return;
  const Finished checked = peer("check", folder.path());
  ASSERT_EQ(checked.status, 0) << checked.errors;
  const Tree answer = load_torch_file(folder.path() / "answer.pt");
  expect_near(answer["output"].tensor(), output);
  EXPECT_EQ(answer["names"].size(), 9u);
  EXPECT_TRUE(answer["training"].boolean()) << "it was saved in train mode";
}

TEST(ScriptModules, OtherFilesAreRefusedWithWhatToDo) {
  const TemporaryFolder folder;
  Error::Parts parts = error_of([&] { return load_script_module(recorded / "weights.pt"); });
  EXPECT_EQ(parts.what, "this is not a TorchScript archive");
  EXPECT_THAT(parts.todo, HasSubstr("load_torch_file"));
  write(folder.path() / "text.pt", "nothing of the kind");
  parts = error_of([&] { return load_script_module(folder.path() / "text.pt"); });
  EXPECT_THAT(parts.todo, HasSubstr("torch.jit.script"));
  EXPECT_THAT(error_of([&] { return load_script_module(folder.path() / "missing.pt"); }).where,
              HasSubstr("missing.pt"));
  const Net own(torch::nn::Linear(2, 2));
  parts = error_of([&] { return save_script_module(own, folder.path() / "own.pt"), 0; });
  EXPECT_THAT(parts.todo, HasSubstr("save_model"));
  EXPECT_FALSE(fs::exists(folder.path() / "own.pt"));
}

/// Any single damage is an Error before LibTorch sees the file; never a crash, never a stack trace.
TEST(ScriptModules, DamageIsFoundBeforeItIsLoaded) {
  const TemporaryFolder folder;
  const std::string whole = bytes_of(recorded / "net.pt");
  const fs::path path = folder.path() / "damaged.pt";
  size_t refused = 0, tried = 0;
  for (size_t place = 3; place < whole.size(); place += whole.size() / 97) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ 0x55);
    write(path, damaged);
    ++tried;
    try {
      static_cast<void>(load_script_module(path));  // padding between files may be anything
    } catch (const Error& error) {
      ++refused;
      EXPECT_THAT(error.what(), Not(HasSubstr("Exception raised from")));
      EXPECT_THAT(error.what(), HasSubstr("damaged.pt"));
    }
  }
  EXPECT_GT(refused, tried / 2);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    write(path, whole.substr(0, size));
    EXPECT_THROW(static_cast<void>(load_script_module(path)), Error) << size;
  }
}

}  // namespace
}  // namespace athanor::testing::script_module_test
