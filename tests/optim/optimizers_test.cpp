// SPDX-License-Identifier: Apache-2.0
// What is special about single optimizers: refusals, rates that are tensors, slow weights, sparse rows, threads,
// layouts.
#include "athanor/optim/optimizers.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_svdvals.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/sparse_coo_tensor.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "athanor/core/host.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::optimizers_test {
namespace {

using optim::Recipe;
using ::testing::HasSubstr;

at::Tensor leaf(at::IntArrayRef shape, double value = 1) { return at::full(shape, value).requires_grad_(); }

at::Tensor waves(at::IntArrayRef shape, double step) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return at::sin(at::arange(count).to(at::kFloat) * 0.7 + step).reshape(shape);
}

template <class Make>
void expect_refused(const Make& make, const std::string& where, const std::string& got) {
  const auto parts = error_of(make);
  EXPECT_EQ(parts.what, "an option of an optimizer is out of range") << where;
  EXPECT_EQ(parts.where, where);
  EXPECT_EQ(parts.got, got);
  EXPECT_FALSE(parts.expected.empty());
}

TEST(Optimizers, OptionsOutOfRangeAreRefusedWithTheirName) {
  const double nan = std::nan("");
  expect_refused([&] { return optim::NAdam({.momentum_decay = -1}); }, "NAdam, momentum_decay", "-1");
  expect_refused([&] { return optim::NAdam({.betas = {0.9, 1}}); }, "NAdam, betas", "1");
  expect_refused([&] { return optim::RAdam({.lr = nan}); }, "RAdam, lr", "nan");
  expect_refused([&] { return optim::Adamax({.eps = -1e-8}); }, "Adamax, eps", "-1.000e-08");
  expect_refused([&] { return optim::Adadelta({.rho = 1.5}); }, "Adadelta, rho", "1.5000");
  expect_refused([&] { return optim::RMSprop({.alpha = -0.5}); }, "RMSprop, alpha", "-0.5000");
  expect_refused([&] { return optim::RMSprop({.momentum = -1}); }, "RMSprop, momentum", "-1");
  expect_refused([&] { return optim::Rprop({.etas = {1.5, 2}}); }, "Rprop, etas", "1.5000");
  expect_refused([&] { return optim::Rprop({.etas = {0.5, 0.9}}); }, "Rprop, etas", "0.9000");
  expect_refused([&] { return optim::Rprop({.etas = {0, 1.2}}); }, "Rprop, etas", "0");
  expect_refused([&] { return optim::ASGD({.weight_decay = -1}); }, "ASGD, weight_decay", "-1");
  expect_refused([&] { return optim::ASGD({.t0 = nan}); }, "ASGD, t0", "nan");
  expect_refused([&] { return optim::Adagrad({.lr_decay = -1}); }, "Adagrad, lr_decay", "-1");
  expect_refused([&] { return optim::Adagrad({.initial_accumulator_value = -1}); },
                 "Adagrad, initial_accumulator_value", "-1");
  expect_refused([&] { return optim::Adafactor({.beta2_decay = 0.5}); }, "Adafactor, beta2_decay", "0.5000");
  expect_refused([&] { return optim::Adafactor({.eps1 = -1}); }, "Adafactor, eps1", "-1");
  expect_refused([&] { return optim::Adafactor({.d = 0.5}); }, "Adafactor, d", "0.5000");
  expect_refused([&] { return optim::SparseAdam({.eps = 0}); }, "SparseAdam, eps", "0");
  expect_refused([&] { return optim::Muon({.momentum = -1}); }, "Muon, momentum", "-1");
  expect_refused([&] { return optim::Muon({.ns_steps = 100}); }, "Muon, ns_steps", "100");
  expect_refused([&] { return optim::Lion({.betas = {-0.1, 0.9}}); }, "Lion, betas", "-0.1000");
  expect_refused([&] { return optim::LAMB({.norm_range = {2, 1}}); }, "LAMB, norm_range", "1");
  expect_refused([&] { return optim::LBFGS({.lr = -1}); }, "LBFGS, lr", "-1");
  expect_refused([&] { return optim::LBFGS({.max_iter = 0}); }, "LBFGS, max_iter", "0");
  expect_refused([&] { return optim::LBFGS({.history_size = 0}); }, "LBFGS, history_size", "0");
  expect_refused([&] { return optim::LBFGS({.tolerance_change = nan}); }, "LBFGS, tolerance_change", "nan");
  expect_refused([&] { return optim::Lookahead(optim::SGD(), {.k = 0}); }, "Lookahead, k", "0");
  expect_refused([&] { return optim::Lookahead(optim::SGD(), {.alpha = 1.5}); }, "Lookahead, alpha", "1.5000");
  EXPECT_EQ(error_of([&] { return optim::Lookahead(Recipe()); }).what, "Lookahead needs an optimizer to follow");
}

TEST(Optimizers, AnOptionThatTheOptimizerDoesNotHaveIsRefusedByName) {
  const auto got = [](const Recipe& recipe, const GroupOptions& options) {
    const auto parts = error_of([&] { return recipe.on({{{{"w", leaf({2, 2})}}, options}}); });
    EXPECT_EQ(parts.what, "a group sets an option that its optimizer does not have");
    return parts.where + " " + parts.got;
  };
  EXPECT_EQ(got(optim::RMSprop(), {.betas = {{0.9, 0.99}}}), "RMSprop betas");
  EXPECT_EQ(got(optim::Rprop(), {.weight_decay = 0}), "Rprop weight_decay");
  EXPECT_EQ(got(optim::Adam(), {.nesterov = false}), "Adam nesterov");
  EXPECT_EQ(got(optim::Adadelta(), {.alpha = 0.5}), "Adadelta alpha");
  EXPECT_EQ(got(optim::Muon(), {.d = 1}), "Muon d");
  EXPECT_EQ(got(optim::Lion(), {.eps = 1e-8}), "Lion eps");
  EXPECT_EQ(got(optim::SGD(), {.ns_steps = 5}), "SGD ns_steps");
  EXPECT_EQ(got(optim::LBFGS(), {.norm_range = {{0, 1}}}), "LBFGS norm_range");
}

TEST(Optimizers, DescribeThemselves) {
  EXPECT_EQ(Recipe(optim::NAdam()).describe(), "NAdam(lr 0.002)");
  EXPECT_EQ(Recipe(optim::Adadelta()).describe(), "Adadelta(lr 1)");
  EXPECT_EQ(Recipe(optim::Lookahead(optim::AdamW())).describe(), "Lookahead(k 5, alpha 0.5, AdamW(lr 0.001))");
  EXPECT_EQ(Recipe(optim::LBFGS({.line_search_fn = optim::LineSearch::strong_wolfe})).describe(),
            "LBFGS(lr 1, strong_wolfe)");
}

std::vector<Recipe> every_dense_recipe() {
  return {optim::Adam(),    optim::AdamW(),     optim::SGD({.momentum = 0.9}),
          optim::Adagrad(), optim::NAdam(),     optim::RAdam(),
          optim::Adamax(),  optim::Adadelta(),  optim::RMSprop(),
          optim::Rprop(),   optim::ASGD(),      optim::Lion(),
          optim::LAMB(),    optim::Adafactor(), optim::Muon()};
}

// What is at a place is worked on in the same way wherever the threads' shares begin and end.
TEST(Optimizers, TheNumberOfThreadsChangesNoBit) {
  for (const Recipe& recipe : every_dense_recipe()) {
    if (recipe.describe().starts_with("Muon")) continue;  // MKL's products of matrices may differ
    std::vector<at::Tensor> results;
    for (const int threads : {1, 2}) {
      const HostGuard guard({.keep_freed_memory = false, .threads = threads});
      const std::vector<at::Tensor> tensors{waves({333, 301}, 1).requires_grad_(), waves({7}, 2).requires_grad_(),
                                            waves({50003}, 3).requires_grad_()};
      const auto optimizer = recipe.on({{parameters_of(tensors), {}}});
      for (int step = 0; step < 3; ++step) {
        for (const at::Tensor& tensor : tensors) tensor.mutable_grad() = waves(tensor.sizes(), 0.3 * step + 5);
        optimizer->step();
      }
      for (const at::Tensor& tensor : tensors) results.push_back(tensor.detach().clone());
    }
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(at::equal(results[i], results[i + 3])) << recipe.describe();
  }
}

// Channels-last memory is another order of the same numbers. Adafactor and LAMB add up in the order of memory.
TEST(Optimizers, TheLayoutOfAParameterChangesNoNumber) {
  for (const Recipe& recipe : every_dense_recipe()) {
    if (recipe.describe().starts_with("Muon")) continue;
    const at::Tensor plain = waves({4, 3, 5, 2}, 1).requires_grad_();
    const at::Tensor last = waves({4, 3, 5, 2}, 1).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
    const auto one = recipe.on({{{{"w", plain}}, {}}});
    const auto other = recipe.on({{{{"w", last}}, {}}});
    for (int step = 0; step < 5; ++step) {
      plain.mutable_grad() = waves(plain.sizes(), step);
      last.mutable_grad() = waves(plain.sizes(), step);
      one->step();
      other->step();
    }
    EXPECT_LE((plain - last).abs().max().item<double>(), 1e-6) << recipe.describe();
    EXPECT_EQ(last.strides(), last.contiguous(at::MemoryFormat::ChannelsLast).strides());
  }
}

TEST(Optimizers, AStepTellsGraphsThatHaveKeptTheWeights) {
  std::vector<Recipe> recipes = every_dense_recipe();
  for (const Recipe& recipe : recipes) {
    const at::Tensor tensor = leaf({2, 2});
    const auto optimizer = recipe.on({{{{"w", tensor}}, {}}});
    tensor.mutable_grad() = at::ones({2, 2});
    const auto before = tensor._version();
    optimizer->step();
    EXPECT_GT(tensor._version(), before) << recipe.describe();
  }
}

// LibTorch's fused kernel for SGD stores no weights of 16 bits but the last few. Each step rounds the update, in a
// handful of operations, and the weight, which together are at most 32 units in the last place of the largest number.
TEST(Optimizers, WeightsOfSixteenBitsGoWhereThoseOfThirtyTwoGo) {
  std::vector<Recipe> recipes = every_dense_recipe();
  recipes.push_back(optim::SGD({.momentum = 0.9, .dampening = 0.5, .weight_decay = 0.1, .maximize = true}));
  recipes.push_back(optim::SGD({.momentum = 0.9, .weight_decay = 0.1, .nesterov = true}));
  recipes.push_back(optim::SGD());
  for (const Recipe& recipe : recipes) {
    // The rate of Adadelta is that of a unit of its own, and Muon's numbers are of bfloat16 in any case.
    if (recipe.describe().starts_with("Adadelta") || recipe.describe().starts_with("Muon")) continue;
    for (const auto& [dtype, unit] : {std::pair(at::kBFloat16, 0x1p-8), std::pair(at::kHalf, 0x1p-11)}) {
      const at::Tensor wide = waves({7, 11}, 1).requires_grad_();
      const at::Tensor narrow = wide.detach().to(dtype).requires_grad_();
      const at::Tensor before = wide.detach().clone();
      const auto one = recipe.on(ParameterGroups{{{{"w", wide}}, {.lr = 0.25}}});
      const auto other = recipe.on(ParameterGroups{{{{"w", narrow}}, {.lr = 0.25}}});
      constexpr int steps = 4;
      for (int step = 0; step < steps; ++step) {
        // Without signs that rounding could turn.
        wide.mutable_grad() = waves({7, 11}, step) * 0.25 + 1;
        narrow.mutable_grad() = wide.grad().to(dtype);
        one->step();
        other->step();
      }
      const double largest = std::max(1.0, wide.detach().abs().max().item<double>());
      const double tolerance = 32 * unit * steps * largest;
      EXPECT_LE((wide.detach() - narrow.detach()).abs().max().item<double>(), tolerance) << recipe.describe();
      EXPECT_GT((wide.detach() - before).abs().min().item<double>(), tolerance / 8) << recipe.describe();
    }
  }
}

TEST(Optimizers, ARateThatIsATensorIsReadInEachStep) {
  for (const Recipe& recipe : every_dense_recipe()) {
    if (recipe.describe().starts_with("Rprop")) continue;  // its rate counts in the first step alone
    const at::Tensor first = waves({3, 4}, 1).requires_grad_();
    const at::Tensor second = waves({3, 4}, 1).requires_grad_();
    const auto by_tensor = recipe.on({{{{"w", first}}, {}}});
    const auto by_number = recipe.on({{{{"w", second}}, {}}});
    const at::Tensor lr = at::full({}, 0.125);
    by_tensor->set_lr(0, lr);
    EXPECT_EQ(by_tensor->lr(), 0.125);
    for (const double rate : {0.125, 0.5, 0.0625}) {
      lr.fill_(rate);
      by_number->set_lr(0, rate);
      first.mutable_grad() = waves({3, 4}, rate);
      second.mutable_grad() = waves({3, 4}, rate);
      by_tensor->step();
      by_number->step();
      EXPECT_EQ(by_tensor->lr(), rate);
    }
    EXPECT_TRUE(at::equal(first, second)) << recipe.describe();
    by_tensor->set_lr(0, 0.25);
    EXPECT_EQ(lr.item<double>(), 0.25) << "a number is written to the tensor";
    const Tree saved = save_state(*by_tensor);
    EXPECT_EQ(saved["param_groups.0"]["lr"].real(), 0.25);
    lr.fill_(0.75);
    load_state(*by_tensor, saved);
    EXPECT_EQ(lr.item<double>(), 0.25);
  }
}

TEST(Optimizers, ARateThatIsNoScalarOfFloatIsRefused) {
  const auto adam = optim::Adam().on(std::vector<at::Tensor>{leaf({2})});
  const auto parts = error_of([&] { adam->set_lr(0, at::full({2}, 0.1)); });
  EXPECT_EQ(parts.where, "Adam, lr");
  EXPECT_EQ(parts.got, "float32 (2)");
  EXPECT_EQ(error_of([&] { adam->set_lr(0, at::full({}, 0.1, at::kDouble)); }).got, "float64 ()");
  EXPECT_EQ(error_of([&] { adam->set_lr(0, at::full({}, -1.0)); }).got, "-1");
  EXPECT_EQ(error_of([&] { adam->set_lr(3, at::full({}, 0.1)); }).what, "an optimizer has no group of that number");
  EXPECT_EQ(adam->lr(), 1e-3);
}

TEST(Optimizers, LookaheadGoesBackAPartOfTheWayEveryKSteps) {
  const at::Tensor tensor = leaf({1}, 0);
  const auto optimizer =
      optim::Lookahead(optim::SGD({.lr = 1}), {.k = 3, .alpha = 0.25}).on(std::vector<at::Tensor>{tensor});
  const auto step = [&](double gradient, double found_inf = 0) {
    tensor.mutable_grad() = at::full({1}, gradient);
    optimizer->step({.found_inf = at::full({}, found_inf)});
    return tensor.item<double>();
  };
  EXPECT_EQ(step(-1), 1);
  EXPECT_EQ(step(-1), 2);
  EXPECT_EQ(step(-100, 1), 2);  // a skipped step does not count
  EXPECT_EQ(step(-2), 1);       // 4, and a quarter of the way from 0
  EXPECT_EQ(step(-1), 2);
  EXPECT_EQ(step(-1), 3);
  EXPECT_EQ(step(-2), 2);  // 5, and a quarter of the way from 1
  {
    const at::NoGradGuard no_grad;
    tensor.fill_(10);  // weights that were loaded between two rounds are where the slow ones begin
  }
  EXPECT_EQ(step(-4), 14);
  EXPECT_EQ(step(-4), 18);
  EXPECT_EQ(step(-2), 12.5);
}

TEST(Optimizers, LookaheadKeepsWhatItsBaseKeepsAndTheSlowWeights) {
  const auto optimizer = optim::Lookahead(optim::Adam()).on(ParameterGroups{{{{"w", leaf({2})}}, {}}});
  const std::vector<std::string> listed = list_state(save_state(*optimizer));
  for (const char* entry : {"w.exp_avg  float32 (2)", "lookahead.steps  0", "lookahead.slow_weights.w  float32 (2)"})
    EXPECT_THAT(listed, ::testing::Contains(entry));
}

TEST(Optimizers, MuonTakesMatricesAlone) {
  const auto parts = error_of([] { return optim::Muon().on(ParameterGroups{{{{"bias", leaf({3})}}, {}}}); });
  EXPECT_EQ(parts.what, "Muon trains matrices alone");
  EXPECT_EQ(parts.where, "Muon, bias");
  EXPECT_EQ(parts.got, "float32 (3)");
}

// All singular values of a step lie between 0.6 and 1.3 times the rate, however different those of the gradient.
TEST(Optimizers, AStepOfMuonIsNearlyOrthogonal) {
  for (const auto& [rows, columns] : {std::pair(8, 8), std::pair(5, 12), std::pair(12, 5)}) {
    const at::Tensor tensor = at::zeros({rows, columns}).requires_grad_();
    const auto muon = optim::Muon({.lr = 0.5, .weight_decay = 0}).on(std::vector<at::Tensor>{tensor});
    tensor.mutable_grad() = at::eye(rows, columns) * 3 + waves({rows, columns}, 1) * 0.5;
    muon->step();
    const double rate = 0.5 * std::sqrt(std::max(1.0, static_cast<double>(rows) / columns));
    const at::Tensor values = at::linalg_svdvals(tensor.detach()) / rate;
    EXPECT_GT(values.min().item<double>(), 0.6);
    EXPECT_LT(values.max().item<double>(), 1.3);
  }
}

// Threads' shares begin anywhere. A product in another order may be rounded to the next bfloat16, 2^-8 off, and the
// steps between are contractions: entries are some 0.05, the rate is 1.
TEST(Optimizers, MuonDoesTheSameWithThreeThreads) {
  std::vector<at::Tensor> results;
  for (const int threads : {1, 3}) {
    const HostGuard guard({.keep_freed_memory = false, .threads = threads});
    const at::Tensor matrix = at::zeros({301, 333}).requires_grad_();
    const auto optimizer = optim::Muon({.lr = 1, .weight_decay = 0}).on(std::vector<at::Tensor>{matrix});
    matrix.mutable_grad() = waves({301, 333}, 1) + at::eye(301, 333);
    optimizer->step();
    results.push_back(matrix.detach().clone());
  }
  EXPECT_LE((results[0] - results[1]).norm().item<double>(), 0.01 * results[0].norm().item<double>());
}

// Python's Muon divides a momentum of bfloat16 by its norm in place when it is the update itself.
TEST(Optimizers, AMomentumOfMuonKeepsItsSizeInBfloat16) {
  const at::Tensor tensor = at::zeros({3, 4}, at::kBFloat16).requires_grad_();
  const auto muon = optim::Muon({.momentum = 0.5, .nesterov = false}).on(ParameterGroups{{{{"w", tensor}}, {}}});
  for (int step = 0; step < 3; ++step) {
    tensor.mutable_grad() = at::full({3, 4}, 8, at::kBFloat16);
    muon->step();
  }
  EXPECT_TRUE(at::equal(save_state(*muon)["w"]["momentum_buffer"].tensor(), at::full({3, 4}, 7, at::kBFloat16)));
}

at::Tensor rows_of(std::vector<int64_t> rows, double value, int64_t width) {
  const auto count = static_cast<int64_t>(rows.size());
  return at::sparse_coo_tensor(at::tensor(rows).unsqueeze(0), at::full({count, width}, value), {6, width});
}

TEST(Optimizers, RowsThatASparseGradientDoesNotNameStayAsTheyAre) {
  for (const Recipe& recipe : {Recipe(optim::SparseAdam()), Recipe(optim::Adagrad()), Recipe(optim::SGD())}) {
    const at::Tensor tensor = waves({6, 11}, 1).requires_grad_();
    const at::Tensor before = tensor.detach().clone();
    const auto optimizer = recipe.on({{{{"w", tensor}}, {}}});
    for (int step = 0; step < 3; ++step) {
      tensor.mutable_grad() = rows_of({1, 4, 1}, 0.5, 11);
      optimizer->step();
    }
    const at::Tensor changed = (tensor.detach() - before).abs().amax(1);
    for (const int64_t row : {0, 2, 3, 5}) EXPECT_EQ(changed[row].item<double>(), 0) << recipe.describe();
    for (const int64_t row : {1, 4}) EXPECT_GT(changed[row].item<double>(), 0) << recipe.describe();
  }
}

// Rows go to threads in shares. float16 takes LibTorch's operators, the others a kernel: all the same numbers.
TEST(Optimizers, SparseRowsOfManyNumbersAreStepped) {
  const at::Tensor rows = (at::arange(900) * 7).remainder(1000);
  const at::Tensor values = waves({900, 96}, 2);
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2}) {
    const HostGuard guard({.keep_freed_memory = false, .threads = threads});
    const at::Tensor tensor = waves({1000, 96}, 1).requires_grad_();
    const auto optimizer = optim::SparseAdam({.lr = 0.1}).on(std::vector<at::Tensor>{tensor});
    for (int step = 0; step < 3; ++step) {
      tensor.mutable_grad() = at::sparse_coo_tensor(rows.unsqueeze(0), values, {1000, 96});
      optimizer->step();
    }
    results.push_back(tensor.detach().clone());
  }
  EXPECT_TRUE(at::equal(results[0], results[1]));
}

TEST(Optimizers, ADenseGradientIsRefusedBySparseAdam) {
  const at::Tensor tensor = leaf({3});
  const auto optimizer = optim::SparseAdam().on(ParameterGroups{{{{"embedding.weight", tensor}}, {}}});
  tensor.mutable_grad() = at::ones({3});
  const auto parts = error_of([&] { optimizer->step(); });
  EXPECT_EQ(parts.what, "a dense gradient reached an optimizer for sparse ones");
  EXPECT_EQ(parts.where, "SparseAdam, embedding.weight");
  EXPECT_EQ(parts.got, "float32 (3)");
}

TEST(Optimizers, SparseGradientsBesideDecayOrMomentumAreRefusedWithTheValues) {
  const at::Tensor tensor = leaf({6, 2});
  tensor.mutable_grad() = rows_of({1}, 1, 2);
  const auto sgd = optim::SGD({.momentum = 0.5}).on(std::vector<at::Tensor>{tensor});
  EXPECT_EQ(error_of([&] { sgd->step(); }).got, "momentum 0.5, weight_decay 0");
  const auto adagrad = optim::Adagrad({.weight_decay = 0.25}).on(std::vector<at::Tensor>{tensor});
  EXPECT_EQ(error_of([&] { adagrad->step(); }).got, "weight_decay 0.25");
  tensor.mutable_grad() = at::sparse_coo_tensor(at::zeros({1, 1}, at::kLong), at::ones({1, 3}), {6, 3});
  const auto plain = optim::SparseAdam().on(std::vector<at::Tensor>{tensor});
  EXPECT_EQ(error_of([&] { plain->step(); }).what, "a gradient does not fit its parameter");
}

TEST(Optimizers, ADivisorDividesTheRowsOfASparseGradient) {
  for (const Recipe& recipe : {Recipe(optim::SparseAdam()), Recipe(optim::Adagrad()), Recipe(optim::SGD())}) {
    const at::Tensor scaled = leaf({6, 2}), plain = leaf({6, 2});
    const auto one = recipe.on({{{{"w", scaled}}, {}}});
    const auto other = recipe.on({{{{"w", plain}}, {}}});
    scaled.mutable_grad() = rows_of({1, 2}, 64, 2);
    plain.mutable_grad() = rows_of({1, 2}, 2, 2);
    one->step({.divisor = at::full({}, 32.0)});
    other->step();
    EXPECT_TRUE(at::equal(scaled, plain)) << recipe.describe();
    scaled.mutable_grad() = rows_of({1, 2}, std::numeric_limits<double>::infinity(), 2);
    one->step({.found_inf = at::ones({})});
    EXPECT_TRUE(at::equal(scaled, plain)) << recipe.describe();
  }
}

}  // namespace
}  // namespace athanor::testing::optimizers_test
