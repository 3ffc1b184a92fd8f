// SPDX-License-Identifier: Apache-2.0
// Optimizers that Python began and we go on with, and the other way round, by the files of both.
#include "athanor/checkpoint/python_optimizer.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "athanor/checkpoint/torch_file.hpp"
#include "athanor/core/state.hpp"
#include "athanor/optim/adam.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::python_optimizer_test {
namespace {

namespace fs = std::filesystem;
using optim::Adam;
using optim::AdamW;
using optim::Recipe;
using optim::SGD;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct PeerCase {
  std::string name;
  Recipe recipe;
  GroupOptions second = {};
  bool late = false;
};

// As CASES in python_optimizer_peer.py.
const std::vector<PeerCase>& peer_cases() {
  static const std::vector<PeerCase> cases{
      {"adam", Adam({.lr = 0.05, .betas = {0.8, 0.95}, .weight_decay = 0.1})},
      {"adam_amsgrad_late", Adam({.lr = 0.05, .amsgrad = true, .maximize = true}), {.lr = 0.01}, true},
      {"adamw_groups", AdamW({.lr = 0.05}), {.weight_decay = 0, .betas = {{0.5, 0.9}}, .eps = 1e-4}},
      {"sgd", SGD({.lr = 0.1, .weight_decay = 0.01})},
      {"sgd_momentum", SGD({.lr = 0.05, .momentum = 0.9}), {.lr = 0.02, .momentum = 0.5}},
      {"sgd_dampening", SGD({.lr = 0.1, .momentum = 0.8, .dampening = 0.5})},
      {"sgd_nesterov", SGD({.lr = 0.05, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true})},
  };
  return cases;
}

constexpr int steps = 100;
constexpr int half = 50;

at::Tensor start(at::IntArrayRef shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return ((at::arange(count) * 37).remainder(19) - 9).to(at::kFloat).div(8).reshape(shape).requires_grad_();
}

struct Problem {
  explicit Problem(const PeerCase& each) : late(each.late) {
    optimizer = each.recipe.on({{{parameters[0]}, {}}, {{parameters[1], parameters[2]}, each.second}});
  }

  void train(int first, int last) {
    for (int step = first; step < last; ++step) {
      for (int i = 0; i < 3; ++i) {
        if (late && i == 2 && step < half) continue;
        const double shift = ((step * 7 + i * 3) % 11 - 5) / 8.0;
        const at::Tensor& parameter = parameters[static_cast<size_t>(i)].tensor;
        parameter.mutable_grad() = parameter.detach() * (i + 1) / 2 + shift;
      }
      optimizer->step();
    }
  }

  void load(const Tree& saved) {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i].tensor.copy_(saved["parameters"][i].tensor());
    load_python_optimizer_state(*optimizer, saved["optimizer"]);
  }

  Tree saved() {
    Tree::List values;
    for (const Parameter& parameter : parameters) values.emplace_back(parameter.tensor.detach().clone());
    return {{"parameters", Tree::list(values)}, {"optimizer", python_optimizer_state(*optimizer)}};
  }

  Parameters parameters{{"a", start({5, 7})}, {"b", start({11})}, {"c", start({})}};
  std::shared_ptr<Optimizer> optimizer;
  bool late;
};

/// Runs each test with the recorded files and with those that Python writes now.
class PythonOptimizer : public ::testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() {
    std::string name = (fs::temp_directory_path() / "athanor-python-optimizer-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    has_torch_ = std::system(ATHANOR_TEST_PYTHON
                             " -c 'from importlib.util import find_spec as find; "
                             "exit(not find(\"torch\"))'") == 0;
    if (has_torch_) status_ = peer("write");
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  void SetUp() override {
    if (is_live() && !has_torch_) GTEST_SKIP() << ATHANOR_TEST_PYTHON << " has no torch; the recorded files are read";
    ASSERT_TRUE(!is_live() || status_ == 0);
  }

  static int peer(const std::string& command) {
    return std::system((std::string(ATHANOR_TEST_PYTHON) +
                        " " ATHANOR_SOURCE_DIR "/tests/checkpoint/python_optimizer_peer.py " + command + " " +
                        folder_.string())
                           .c_str());
  }
  static bool is_live() { return std::string(GetParam()) == "python"; }
  static Tree read(const std::string& name) {
    return load_torch_file((is_live() ? folder_ : fs::path(ATHANOR_SOURCE_DIR "/tests/checkpoint/recorded/optimizer")) /
                           name);
  }

  inline static fs::path folder_;
  inline static bool has_torch_ = false;
  inline static int status_ = -1;
};

INSTANTIATE_TEST_SUITE_P(Files, PythonOptimizer, ::testing::Values("recorded", "python"),
                         [](const auto& info) { return std::string(info.param); });

// Python's fused implementation and ours are the same kernels of the same library, so that half of the steps in each
// gives the bits of all in one. The recorded files come from another processor, whose kernels may sum in another order:
// half a unit in the last place of numbers up to 2 in each step, mostly forgotten, because the problems are
// contractions.
TEST_P(PythonOptimizer, FiftyStepsOfPythonAndFiftyOfOursAreAHundredOfPython) {
  for (const PeerCase& each : peer_cases()) {
    Problem problem(each);
    problem.train(0, 7);  // whatever was there before is forgotten
    problem.load(read(each.name + ".half.pt"));
    problem.train(half, steps);
    const Tree full = read(each.name + ".full.pt");
    for (size_t i = 0; i < problem.parameters.size(); ++i) {
      const at::Tensor got = problem.parameters[i].tensor.detach();
      const at::Tensor& want = full["parameters"][i].tensor();
      if (is_live()) {
        EXPECT_TRUE(at::equal(got, want)) << each.name << " " << i;
      } else {
        const at::Tensor units = (got - want).abs() / (want.abs().clamp_min(1) * std::numeric_limits<float>::epsilon());
        EXPECT_LE(units.max().item<double>(), 8) << each.name << " " << i;
      }
    }
  }
}

TEST_P(PythonOptimizer, FiftyStepsOfOursAndFiftyOfPythonAreAHundredOfPython) {
  if (!is_live()) GTEST_SKIP() << "needs torch";
  for (const PeerCase& each : peer_cases()) {
    Problem problem(each);
    problem.train(0, half);
    save_torch_file(folder_ / (each.name + ".ours.pt"), problem.saved());
  }
  EXPECT_EQ(peer("check"), 0);
}

TEST_P(PythonOptimizer, WhatWasLoadedIsWhatIsSaved) {
  for (const PeerCase& each : peer_cases()) {
    const Tree half_way = read(each.name + ".half.pt")["optimizer"];
    Problem problem(each);
    load_python_optimizer_state(*problem.optimizer, half_way);
    const Tree ours = python_optimizer_state(*problem.optimizer);
    for (const auto& [number, state] : half_way["state"].entries()) {
      for (const auto& [part, value] : state.entries()) {
        if (value.empty()) continue;  // the momentum of an SGD without one
        EXPECT_TRUE(at::equal(ours["state"][number][part].tensor(), value.tensor())) << each.name << number << part;
      }
    }
    for (size_t g = 0; g < 2; ++g) {
      for (const auto& [option, value] : ours["param_groups"][g].entries()) {
        EXPECT_EQ(half_way["param_groups"][g][option].describe(), value.describe()) << each.name << " " << option;
      }
    }
  }
}

TEST(PythonOptimizerTest, OptionsOfTheFileCount) {
  Problem problem(peer_cases()[0]);
  Tree saved = python_optimizer_state(*problem.optimizer);
  EXPECT_EQ(saved["param_groups"][1].describe(),
            "{lr: 0.0500, betas: [0.8000, 0.9500], eps: 1.000e-08, weight_decay: 0.1000, amsgrad: false, maximize: "
            "false, decoupled_weight_decay: false, params: [1, 2]}");
  Tree& group = saved.find("param_groups")->items()[1];
  *group.find("lr") = Tree(at::full({}, 0.25));  // as Python has it when it was given as a tensor
  *group.find("weight_decay") = Tree(0);
  *group.find("betas") = Tree::list({0.5, 0.75});
  group.at_or_insert("foreach") = Tree();
  load_python_optimizer_state(*problem.optimizer, saved);
  EXPECT_EQ(problem.optimizer->lr(1), 0.25);
  EXPECT_EQ(problem.optimizer->lr(0), 0.05);
  EXPECT_EQ(problem.optimizer->get(Optimizer::Field::weight_decay, 1), 0);
  EXPECT_EQ(problem.optimizer->get(Optimizer::Field::momentum, 1), 0.5);
  std::erase_if(group.entries(), [](const Tree::Entry& entry) { return entry.first == "lr"; });
  problem.optimizer->set_lr(1, 0.125);
  load_python_optimizer_state(*problem.optimizer, saved);
  EXPECT_EQ(problem.optimizer->lr(1), 0.125) << "what the file does not tell stays";
}

TEST(PythonOptimizerTest, ParametersThatPythonHasNamedGoByTheirNames) {
  Problem problem(peer_cases()[4]);
  problem.train(0, 3);
  const Tree before = save_state(*problem.optimizer);
  Tree saved = python_optimizer_state(*problem.optimizer);
  Tree& group = saved.find("param_groups")->items()[1];
  *group.find("params") = Tree::list({2, 1});
  group.at_or_insert("param_names") = Tree::list({"c", "b"});
  load_python_optimizer_state(*problem.optimizer, saved);
  EXPECT_THAT(compare_states(save_state(*problem.optimizer), before), IsEmpty());
  *group.find("param_names") = Tree::list({"x", "y"});
  EXPECT_THROW(load_python_optimizer_state(*problem.optimizer, saved), Error);
}

TEST(PythonOptimizerTest, AParameterWithoutAStateBeginsAnew) {
  for (const size_t number : {0U, 5U}) {
    Problem trained(peer_cases()[number]);
    trained.train(0, 5);
    Tree saved = python_optimizer_state(*trained.optimizer);
    *saved.find("state") = Tree(Tree::Dictionary{});
    load_python_optimizer_state(*trained.optimizer, saved);
    EXPECT_THAT(compare_states(save_state(*trained.optimizer), save_state(*Problem(peer_cases()[number]).optimizer)),
                IsEmpty());
    EXPECT_EQ(python_optimizer_state(*Problem(peer_cases()[5]).optimizer)["state"].size(), 0U)
        << "a momentum that has not begun";
  }
}

TEST(PythonOptimizerTest, WhatDoesNotFitIsToldWithNumberAndNameAndNothingIsChanged) {
  Problem problem(peer_cases()[0]);
  problem.train(0, 3);
  const Tree good = python_optimizer_state(*problem.optimizer);
  const Tree before = save_state(*problem.optimizer);
  const auto refusal = [&](const std::function<void(Tree&)>& change) {
    Tree changed = good.map([](const at::Tensor& tensor) { return tensor.clone(); });
    change(changed);
    const auto parts = error_of([&] { load_python_optimizer_state(*problem.optimizer, changed); });
    EXPECT_THAT(compare_states(save_state(*problem.optimizer), before), IsEmpty());
    EXPECT_EQ(parts.where, "Adam(lr 0.05)");
    return parts.got;
  };
  const auto state = [](Tree& tree, const char* number, const char* part) -> Tree& {
    return tree.find("state")->find(number)->at_or_insert(part);
  };
  EXPECT_EQ(refusal([&](Tree& tree) { state(tree, "1", "exp_avg") = Tree(at::zeros({12})); }),
            "parameter 1 (b), exp_avg: float32 (12) in the file, float32 (11) here");
  EXPECT_EQ(refusal([&](Tree& tree) {
              state(tree, "0", "exp_avg_sq") = Tree(at::zeros({5, 7}, at::kDouble));
            }),
            "parameter 0 (a), exp_avg_sq: float64 (5, 7) in the file, float32 (5, 7) here");
  EXPECT_EQ(refusal([&](Tree& tree) { state(tree, "2", "max_exp_avg_sq") = Tree(at::zeros({})); }),
            "parameter 2 (c): max_exp_avg_sq in the file, none here");
  EXPECT_EQ(refusal([&](Tree& tree) {
              std::erase_if(tree.find("state")->find("2")->entries(),
                            [](const auto& entry) { return entry.first == "step"; });
            }),
            "parameter 2 (c): no step in the file");
  EXPECT_EQ(refusal([&](Tree& tree) { *tree.find("param_groups")->items()[1].find("params") = Tree::list({1}); }),
            "group 1: 1 parameters in the file, 2 here");
  EXPECT_EQ(refusal([&](Tree& tree) { tree.find("param_groups")->items().pop_back(); }),
            "groups of parameters: 1 in the file, 2 here");
  EXPECT_EQ(refusal([&](Tree& tree) { *tree.find("param_groups")->items()[0].find("maximize") = Tree(true); }),
            "group 0, maximize: true in the file, false here");
  EXPECT_EQ(refusal([&](Tree& tree) { *tree.find("param_groups")->items()[0].find("lr") = Tree("fast"); }),
            "group 0, lr: \"fast\" in the file, 0.0500 here");
  EXPECT_THAT(error_of([&] {
                load_python_optimizer_state(*problem.optimizer, Tree{{"model", 1}});
              }).expected,
              HasSubstr("{state: {...}, param_groups: [...]}"));
  Problem momentum(peer_cases()[4]);
  EXPECT_THAT(error_of([&] { load_python_optimizer_state(*momentum.optimizer, good); }).got,
              HasSubstr("parameter 0 (a): exp_avg in the file, none here"));
}

TEST(PythonOptimizerTest, TheStepOfOlderReleasesIsANumber) {
  Problem problem(peer_cases()[0]);
  problem.train(0, 3);
  Tree saved = python_optimizer_state(*problem.optimizer);
  for (auto& [number, state] : saved.find("state")->entries()) *state.find("step") = Tree(7);
  load_python_optimizer_state(*problem.optimizer, saved);
  EXPECT_EQ(python_optimizer_state(*problem.optimizer)["state"]["1"]["step"].tensor().item<float>(), 7);
}

class Archived : public Optimizer {
 public:
  Archived() : Optimizer({{"a", at::ones({1}).requires_grad_()}}) {}
  using Optimizer::step;
  void step(const GradientScale&) override {}
  size_t groups() const override { return 1; }
  std::optional<double> get(Field, size_t) const override { return {}; }
  void set(Field, size_t, double) override {}
  std::string describe() const override { return "Archived"; }
  void state(State& state) override { state.tensor("archive", archive_); }

 private:
  at::Tensor archive_ = at::ones({3});
};

TEST(PythonOptimizerTest, AnOptimizerThatKeepsNoStateByParameterIsRefused) {
  Archived archived;
  EXPECT_EQ(error_of([&] { return python_optimizer_state(archived); }).where, "Archived");
  EXPECT_THROW(
      load_python_optimizer_state(archived, {{"state", Tree(Tree::Dictionary{})}, {"param_groups", Tree::list({})}}),
      Error);
}

}  // namespace
}  // namespace athanor::testing::python_optimizer_test
