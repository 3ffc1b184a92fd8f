// SPDX-License-Identifier: Apache-2.0
//
// What a step of each optimizer costs on 25 M parameters in 160 tensors. peers/optimizer_costs.py does the same with
// torch.optim; run.py lets both take turns. The last line is a JSON object: seconds of a step by the name of the class,
// and for LibTorch's own C++ optimizers the quartiles of its time over ours, measured in turn here.
#include <athanor/athanor.hpp>
#include <functional>
#include <iostream>
#include <utility>

#include "common.hpp"

namespace {

using athanor::optim::Recipe;
using benchmarks::Stopwatch;

constexpr int64_t tensors = 160, side = 395;

std::vector<torch::Tensor> parameters(int64_t count = tensors) {
  std::vector<torch::Tensor> all;
  for (int64_t i = 0; i < count; ++i) {
    torch::Tensor tensor = torch::randn({side, side}).requires_grad_();
    tensor.mutable_grad() = torch::randn({side, side}) * 1e-2;
    all.push_back(tensor);
  }
  return all;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Median of `steps` calls after two that are not counted.
double seconds_of(int64_t steps, const std::function<void()>& step) {
  step();
  step();
  std::vector<double> seconds;
  for (int64_t i = 0; i < steps; ++i) {
    const Stopwatch watch;
    step();
    seconds.push_back(watch.seconds());
  }
  return median(std::move(seconds));
}

double dense(const Recipe& recipe, int64_t steps, int64_t count = tensors) {
  const auto all = parameters(count);
  const auto optimizer = recipe.on({{athanor::parameters_of(all), {}}});
  return seconds_of(steps, [&] { optimizer->step(); });
}

/// An embedding of 100,000 rows of 128 numbers, 16,384 rows of which are named, some twice.
double sparse(int64_t steps) {
  const torch::Tensor weight = torch::randn({100000, 128}).requires_grad_();
  const auto optimizer = athanor::optim::SparseAdam().on(std::vector<torch::Tensor>{weight});
  const torch::Tensor rows = torch::randint(100000, {1, 16384});
  const torch::Tensor values = torch::randn({16384, 128});
  return seconds_of(steps, [&] {
    weight.mutable_grad() = torch::sparse_coo_tensor(rows, values, weight.sizes());
    optimizer->step();
  });
}

/// A step of three iterations, the history of six pairs full, without the time of the evaluations.
double lbfgs(int64_t steps) {
  const auto all = parameters();
  const auto optimizer =
      athanor::optim::LBFGS({.lr = 0.1, .max_iter = 3, .tolerance_grad = 0, .tolerance_change = 0, .history_size = 6})
          .on(all);
  std::vector<torch::Tensor> slopes;
  slopes.reserve(all.size());
  for (const torch::Tensor& each : all) slopes.push_back(torch::rand_like(each) + 0.5);
  double evaluating = 0;
  const auto evaluate = [&] {
    const torch::NoGradGuard no_grad;
    const Stopwatch watch;
    for (size_t i = 0; i < all.size(); ++i) torch::mul_out(all[i].mutable_grad(), all[i].detach(), slopes[i]);
    evaluating += watch.seconds();
    return torch::ones({});
  };
  for (int i = 0; i < 3; ++i) optimizer->step(evaluate);
  std::vector<double> seconds;
  for (int64_t i = 0; i < steps; ++i) {
    evaluating = 0;
    const Stopwatch watch;
    optimizer->step(evaluate);
    seconds.push_back(watch.seconds() - evaluating);
  }
  return median(std::move(seconds));
}

/// LibTorch's own over ours, in turn.
template <class Theirs, class Options>
std::vector<double> over_ours(const Recipe& recipe, const Options& options, int64_t rounds) {
  const auto all = parameters();
  const auto ours = recipe.on({{athanor::parameters_of(all), {}}});
  Theirs theirs(all, options);
  std::vector<double> ratios;
  for (int64_t round = -1; round < rounds; ++round) {
    const Stopwatch first;
    ours->step();
    const double mine = first.seconds();
    const Stopwatch second;
    theirs.step();
    if (round >= 0) ratios.push_back(second.seconds() / mine);
  }
  std::sort(ratios.begin(), ratios.end());
  return ratios;
}

}  // namespace

int main(int argument_count, char** arguments) {
  const benchmarks::Options options = benchmarks::parse_options(argument_count, arguments);
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  const athanor::HostGuard host({.restore_generator = false});
  const int64_t steps = options.epochs;
  namespace optim = athanor::optim;
  const std::vector<std::pair<std::string, Recipe>> recipes{
      {"Adam", optim::Adam()},       {"AdamW", optim::AdamW()},       {"SGD", optim::SGD({.momentum = 0.9})},
      {"Adagrad", optim::Adagrad()}, {"NAdam", optim::NAdam()},       {"RAdam", optim::RAdam()},
      {"Adamax", optim::Adamax()},   {"Adadelta", optim::Adadelta()}, {"RMSprop", optim::RMSprop()},
      {"Rprop", optim::Rprop()},     {"ASGD", optim::ASGD()},         {"Adafactor", optim::Adafactor()},
      {"Lion", optim::Lion()},       {"LAMB", optim::LAMB()}};
  std::cout << "{";
  for (const auto& [name, recipe] : recipes) std::cout << "\"" << name << "\": " << dense(recipe, steps) << ", ";
  // 8.9e10 multiplications and additions a step for 8 matrices, so no more than these.
  std::cout << "\"Muon\": " << dense(optim::Muon(), std::min<int64_t>(steps, 3), 8) << ", ";
  std::cout << "\"SparseAdam\": " << sparse(steps) << ", ";
  std::cout << "\"LBFGS\": " << lbfgs(std::min<int64_t>(steps, 3));
  const auto tell = [&](const char* name, const std::vector<double>& ratios) {
    std::cout << ", \"" << name << "\": [" << ratios[ratios.size() / 4] << ", " << ratios[ratios.size() / 2] << ", "
              << ratios[ratios.size() * 3 / 4] << "]";
  };
  tell("LibTorch's Adam over ours",
       over_ours<torch::optim::Adam>(optim::Adam(), torch::optim::AdamOptions(), 2 * steps));
  tell("LibTorch's AdamW over ours",
       over_ours<torch::optim::AdamW>(optim::AdamW(), torch::optim::AdamWOptions(), 2 * steps));
  tell("LibTorch's SGD with momentum over ours",
       over_ours<torch::optim::SGD>(optim::SGD({.momentum = 0.9}), torch::optim::SGDOptions(1e-3).momentum(0.9),
                                    2 * steps));
  std::cout << "}" << std::endl;
}
