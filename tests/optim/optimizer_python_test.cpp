// SPDX-License-Identifier: Apache-2.0
// Our optimizers beside the real torch.optim of Python over 100 steps, run by optimizer_peer.py.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "athanor/core/host.hpp"
#include "athanor/optim/adam.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/optim/python_peer.hpp"

namespace athanor::optimizer_python_test {
namespace {

namespace fs = std::filesystem;
using optim::Adam;
using optim::AdamW;
using optim::Recipe;
using optim::SGD;

constexpr int steps = 100;
constexpr int late_step = 10;

struct PeerCase {
  std::string name;
  Recipe recipe;
  GroupOptions second = {};
  bool late = false;
  bool fused = true;
};

// As CASES in optimizer_peer.py.
const std::vector<PeerCase>& peer_cases() {
  static const std::vector<PeerCase> cases{
      {"adam", Adam({.lr = 0.05})},
      {"adam_decay", Adam({.lr = 0.05, .betas = {0.8, 0.95}, .eps = 1e-6, .weight_decay = 0.1})},
      {"adam_amsgrad", Adam({.lr = 0.05, .amsgrad = true})},
      {"adam_maximize", Adam({.lr = 0.01, .weight_decay = 0.5, .maximize = true})},
      {"adam_groups_late",
       Adam({.lr = 0.05, .weight_decay = 0.1}),
       {.lr = 0.01, .weight_decay = 0, .betas = {{0.5, 0.9}}, .eps = 1e-4},
       true},
      {"adamw", AdamW({.lr = 0.05})},
      {"adamw_amsgrad_maximize", AdamW({.lr = 0.01, .weight_decay = 0.3, .amsgrad = true, .maximize = true})},
      {"adamw_groups_late", AdamW({.lr = 0.05}), {.weight_decay = 0}, true},
      {"sgd", SGD({.lr = 0.1})},
      {"sgd_decay_maximize", SGD({.lr = 0.01, .weight_decay = 1.5, .maximize = true})},
      {"sgd_momentum", SGD({.lr = 0.05, .momentum = 0.9})},
      {"sgd_dampening", SGD({.lr = 0.1, .momentum = 0.8, .dampening = 0.5, .weight_decay = 0.1})},
      {"sgd_nesterov", SGD({.lr = 0.05, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true})},
      {"sgd_groups_late",
       SGD({.lr = 0.05, .momentum = 0.9, .dampening = 0.25}),
       {.lr = 0.02, .momentum = 0.5},
       true,
       false},
      {"sgd_plain_group", SGD({.lr = 0.05, .momentum = 0.9}), {.weight_decay = 0.2, .momentum = 0}},
  };
  return cases;
}

at::Tensor start(at::IntArrayRef shape, at::ScalarType dtype) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return ((at::arange(count) * 37).remainder(19) - 9).to(dtype).div(8).reshape(shape).requires_grad_();
}

/// As scale_gradients() in optimizer_peer.py.
GradientScale scale_gradients(const Parameters& parameters, int step) {
  const double factor = std::pow(3.0, step % 4);
  for (const Parameter& parameter : parameters) {
    if (parameter.tensor.grad().defined()) parameter.tensor.mutable_grad().mul_(factor);
  }
  return {.divisor = at::full({}, factor), .found_inf = at::full({}, step % 7 == 3 ? 1.0 : 0.0)};
}

void append(std::vector<double>& trace, const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().to(at::kDouble).flatten();
  const auto* first = static_cast<const double*>(values.const_data_ptr());
  trace.insert(trace.end(), first, first + values.numel());
}

std::vector<double> train(const PeerCase& each, at::ScalarType dtype, bool scaled = false) {
  const HostGuard guard({.keep_freed_memory = false, .threads = 1});  // the tensors are small
  const Parameters all{{"a", start({5, 7}, dtype)}, {"b", start({11}, dtype)}, {"c", start({}, dtype)}};
  const auto optimizer = each.recipe.on({{{all[0]}, {}}, {{all[1], all[2]}, each.second}});
  std::vector<double> trace;
  for (int step = 0; step < steps; ++step) {
    for (int i = 0; i < 3; ++i) {
      if (each.late && i == 2 && step < late_step) continue;
      const double shift = ((step * 7 + i * 3) % 11 - 5) / 8.0;
      const at::Tensor& parameter = all[static_cast<size_t>(i)].tensor;
      parameter.mutable_grad() = parameter.detach() * (i + 1) / 2 + shift;
    }
    optimizer->step(scaled ? scale_gradients(all, step) : GradientScale{});
    for (const Parameter& parameter : all) {
      append(trace, parameter.tensor);
      if (scaled && parameter.tensor.grad().defined()) append(trace, parameter.tensor.grad());
    }
  }
  return trace;
}

/// The largest difference, in units of the rounding error of numbers of size 1 or of the parameter itself.
double largest_difference(const std::vector<double>& ours, const std::vector<double>& theirs, double epsilon) {
  double largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double difference = std::abs(ours[i] - theirs[i]) / (epsilon * std::max(1.0, std::abs(theirs[i])));
    if (!(difference <= largest)) largest = difference;  // also for NaN
  }
  return largest;
}

struct OptimizerScript {
  static constexpr const char* name = "optimizer_peer.py";
};
using OptimizerPython = PythonPeer<OptimizerScript>;

TEST_F(OptimizerPython, EveryCaseOfPythonIsAmongOurs) {
  size_t expected = 0;
  for (const PeerCase& each : peer_cases()) expected += each.fused ? 6 : 2;
  EXPECT_EQ(static_cast<size_t>(std::distance(fs::directory_iterator(folder()), fs::directory_iterator())), expected);
}

// Both sides call the same kernels of the same library with the same arguments.
TEST_F(OptimizerPython, TheFusedImplementationGivesTheSameBits) {
  for (const PeerCase& each : peer_cases()) {
    if (!each.fused) continue;
    for (const auto& [dtype, type] : {std::pair(at::kFloat, ".float32"), std::pair(at::kDouble, ".float64")}) {
      const std::vector<double> ours = train(each, dtype);
      const std::vector<double> theirs = read(each.name + type + ".fused");
      ASSERT_EQ(ours.size(), theirs.size());
      const auto differing = std::mismatch(ours.begin(), ours.end(), theirs.begin()).first - ours.begin();
      EXPECT_TRUE(ours == theirs) << each.name << type << " differs from step " << differing / 47 + 1;
    }
  }
}

// Python's GradScaler hands the same scalars to the same kernels; the gradients that they write back are compared too.
TEST_F(OptimizerPython, DividedAndSkippedStepsGiveTheSameBits) {
  for (const PeerCase& each : peer_cases()) {
    if (!each.fused) continue;
    for (const auto& [dtype, type] : {std::pair(at::kFloat, ".float32"), std::pair(at::kDouble, ".float64")}) {
      const std::vector<double> ours = train(each, dtype, /*scaled=*/true);
      const std::vector<double> theirs = read(each.name + type + ".scaled");
      ASSERT_EQ(ours.size(), theirs.size()) << each.name;
      const auto differing = std::mismatch(ours.begin(), ours.end(), theirs.begin()).first - ours.begin();
      EXPECT_TRUE(ours == theirs) << each.name << type << " differs at " << differing;
    }
  }
}

// The default implementation rounds in another order. A step adds to a parameter of size up to 2 an update of size up
// to 0.1: the two sides may differ by half a unit in the last place from that sum, and by less from the few roundings
// in the update. The problems are contractions, or have a growth that the unit grows with, so that these errors are
// mostly forgotten: a few units are left of 100 steps. A wrong formula shows as millions.
TEST_F(OptimizerPython, TheDefaultImplementationGivesTheSameNumbersButForRounding) {
  for (const PeerCase& each : peer_cases()) {
    for (const auto& [dtype, type, epsilon] :
         {std::tuple(at::kFloat, ".float32", static_cast<double>(std::numeric_limits<float>::epsilon())),
          std::tuple(at::kDouble, ".float64", std::numeric_limits<double>::epsilon())}) {
      const std::vector<double> ours = train(each, dtype);
      const std::vector<double> theirs = read(each.name + type + ".default");
      ASSERT_EQ(ours.size(), theirs.size());
      EXPECT_LE(largest_difference(ours, theirs, epsilon), 8) << each.name << type;
    }
  }
}

}  // namespace
}  // namespace athanor::optimizer_python_test
