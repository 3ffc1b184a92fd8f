// SPDX-License-Identifier: Apache-2.0
// Problems that optimizers_peer.py has drawn and trained by the real torch.optim, trained again by ours.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sparse_coo_tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/host.hpp"
#include "athanor/optim/optimizers.hpp"

namespace athanor::testing::random_problems {

namespace fs = std::filesystem;

inline constexpr int64_t steps = 100;
inline constexpr int64_t late_step = 10;

/// Numbers, or one word, by the name of an option.
using OptionTexts = std::map<std::string, std::vector<std::string>>;

struct Problem {
  std::string kind;
  at::ScalarType dtype = at::kFloat;
  uint64_t key = 0;
  std::vector<std::vector<int64_t>> shapes;
  std::map<std::string, double> traits;
  OptionTexts options, second;
  std::map<std::string, std::vector<double>> results;  // by "step 10 p0" and "state exp_avg p0"
  [[nodiscard]] bool has(const std::string& trait) const { return traits.contains(trait) && traits.at(trait) != 0; }
  [[nodiscard]] bool is_sparse() const { return kind.starts_with("Sparse"); }
  /// Whether the gradients are those of `evaluate`.
  [[nodiscard]] bool evaluates() const { return kind == "LBFGS" || kind == "SAM"; }
};

/// Takes what is there and leaves the others at their defaults.
class Take {
 public:
  explicit Take(const OptionTexts& texts) : texts_(&texts) {}
  template <class T>
  const Take& operator()(const char* name, T& value) const {
    if (const auto found = texts_->find(name); found != texts_->end()) read(found->second, value);
    return *this;
  }

 private:
  using Words = std::vector<std::string>;
  static void read(const Words& words, double& value) { value = std::stod(words.at(0)); }
  static void read(const Words& words, int64_t& value) { value = static_cast<int64_t>(std::stod(words.at(0))); }
  static void read(const Words& words, bool& value) { value = words.at(0) == "1"; }
  static void read(const Words& words, AdjustLr& value) {
    value = words.at(0) == "original" ? AdjustLr::original : AdjustLr::match_rms_adamw;
  }
  static void read(const Words& words, optim::LineSearch& value) {
    value = words.at(0) == "strong_wolfe" ? optim::LineSearch::strong_wolfe : optim::LineSearch::none;
  }
  template <size_t size>
  static void read(const Words& words, std::array<double, size>& values) {
    for (size_t i = 0; i < size; ++i) values[i] = std::stod(words.at(i));
  }
  template <class T>
  static void read(const Words& words, std::optional<T>& value) {
    read(words, value.emplace());
  }
  const OptionTexts* texts_;
};

inline optim::Recipe recipe_of(const Problem& problem) {
  const Take take(problem.options);
  const std::string& kind = problem.kind;
  const auto adam = [&]<class Options>(Options o) {
    take("lr", o.lr)("betas", o.betas)("eps", o.eps)("weight_decay", o.weight_decay)("maximize", o.maximize);
    return o;
  };
  if (kind == "Adam" || kind == "AdamW") {
    const auto more = [&]<class Options>(Options o) {
      take("amsgrad", o.amsgrad);
      return adam(o);
    };
    if (kind == "Adam") {
      auto o = more(optim::AdamOptions());
      take("decoupled_weight_decay", o.decoupled_weight_decay);
      return optim::Adam(o);
    }
    return optim::AdamW(more(optim::AdamWOptions()));
  }
  if (kind == "Lookahead") {
    optim::LookaheadOptions o;
    take("k", o.k)("alpha", o.alpha);
    auto base = adam(optim::AdamWOptions());
    take("amsgrad", base.amsgrad);
    return optim::Lookahead(optim::AdamW(base), o);
  }
  if (kind == "SAM") {
    optim::SAMOptions o;
    take("rho", o.rho)("adaptive", o.adaptive)("eta", o.eta);
    optim::SGDOptions base;
    take("lr", base.lr)("momentum", base.momentum)("weight_decay", base.weight_decay);
    return optim::SAM(optim::SGD(base), o);
  }
  if (kind == "NAdam") {
    auto o = adam(optim::NAdamOptions());
    take("momentum_decay", o.momentum_decay)("decoupled_weight_decay", o.decoupled_weight_decay);
    return optim::NAdam(o);
  }
  if (kind == "RAdam") {
    auto o = adam(optim::RAdamOptions());
    take("decoupled_weight_decay", o.decoupled_weight_decay);
    return optim::RAdam(o);
  }
  if (kind == "Adamax") return optim::Adamax(adam(optim::AdamaxOptions()));
  if (kind == "LAMB") {
    auto o = adam(optim::LAMBOptions());
    take("norm_range", o.norm_range);
    return optim::LAMB(o);
  }
  if (kind == "SparseAdam") {
    optim::SparseAdamOptions o;
    take("lr", o.lr)("betas", o.betas)("eps", o.eps)("maximize", o.maximize);
    return optim::SparseAdam(o);
  }
  if (kind == "Lion") {
    optim::LionOptions o;
    take("lr", o.lr)("betas", o.betas)("weight_decay", o.weight_decay)("maximize", o.maximize);
    return optim::Lion(o);
  }
  if (kind == "SGD" || kind == "SparseSGD") {
    optim::SGDOptions o;
    take("lr", o.lr)("momentum", o.momentum)("dampening", o.dampening)("weight_decay", o.weight_decay);
    take("nesterov", o.nesterov)("maximize", o.maximize);
    return optim::SGD(o);
  }
  if (kind == "Adagrad" || kind == "SparseAdagrad") {
    optim::AdagradOptions o;
    take("lr", o.lr)("lr_decay", o.lr_decay)("weight_decay", o.weight_decay)("eps", o.eps)("maximize", o.maximize);
    take("initial_accumulator_value", o.initial_accumulator_value);
    return optim::Adagrad(o);
  }
  if (kind == "Adadelta") {
    optim::AdadeltaOptions o;
    take("lr", o.lr)("rho", o.rho)("eps", o.eps)("weight_decay", o.weight_decay)("maximize", o.maximize);
    return optim::Adadelta(o);
  }
  if (kind == "RMSprop") {
    optim::RMSpropOptions o;
    take("lr", o.lr)("alpha", o.alpha)("eps", o.eps)("weight_decay", o.weight_decay)("momentum", o.momentum);
    take("centered", o.centered)("maximize", o.maximize);
    return optim::RMSprop(o);
  }
  if (kind == "Rprop") {
    optim::RpropOptions o;
    take("lr", o.lr)("etas", o.etas)("step_sizes", o.step_sizes)("maximize", o.maximize);
    return optim::Rprop(o);
  }
  if (kind == "ASGD") {
    optim::ASGDOptions o;
    take("lr", o.lr)("lambd", o.lambd)("alpha", o.alpha)("t0", o.t0)("weight_decay", o.weight_decay);
    take("maximize", o.maximize);
    return optim::ASGD(o);
  }
  if (kind == "Adafactor") {
    optim::AdafactorOptions o;
    take("lr", o.lr)("beta2_decay", o.beta2_decay)("eps1", o.eps1)("eps2", o.eps2)("d", o.d);
    take("weight_decay", o.weight_decay)("maximize", o.maximize);
    return optim::Adafactor(o);
  }
  if (kind == "Muon") {
    optim::MuonOptions o;
    take("lr", o.lr)("weight_decay", o.weight_decay)("momentum", o.momentum)("nesterov", o.nesterov);
    take("ns_coefficients", o.ns_coefficients)("ns_steps", o.ns_steps)("adjust_lr_fn", o.adjust_lr_fn);
    return optim::Muon(o);
  }
  optim::LBFGSOptions o;
  take("lr", o.lr)("max_iter", o.max_iter)("max_eval", o.max_eval)("history_size", o.history_size);
  take("line_search_fn", o.line_search_fn);
  return optim::LBFGS(o);
}

inline GroupOptions group_options_of(const OptionTexts& texts) {
  GroupOptions o;
  const Take take(texts);
  take("lr", o.lr)("weight_decay", o.weight_decay)("momentum", o.momentum)("betas", o.betas)("eps", o.eps);
  take("dampening", o.dampening)("nesterov", o.nesterov)("amsgrad", o.amsgrad)("maximize", o.maximize);
  take("decoupled_weight_decay", o.decoupled_weight_decay)("momentum_decay", o.momentum_decay)("rho", o.rho);
  take("alpha", o.alpha)("centered", o.centered)("etas", o.etas)("step_sizes", o.step_sizes)("lambd", o.lambd);
  take("t0", o.t0)("lr_decay", o.lr_decay)("initial_accumulator_value", o.initial_accumulator_value);
  take("beta2_decay", o.beta2_decay)("eps1", o.eps1)("eps2", o.eps2)("d", o.d);
  take("ns_coefficients", o.ns_coefficients)("ns_steps", o.ns_steps)("adjust_lr_fn", o.adjust_lr_fn);
  take("norm_range", o.norm_range);
  return o;
}

/// As `mixed` and `numbers` of the peer.
inline uint64_t mixed(uint64_t key) {
  uint64_t z = key * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

inline std::vector<double> numbers(uint64_t key, size_t tensor, int64_t step, int64_t count) {
  const uint64_t stream = mixed(key * 1000003 + tensor * 1009 + 7 + static_cast<uint64_t>(step) * 16);
  std::vector<double> values;
  for (int64_t i = 1; i <= count; ++i)
    values.push_back(static_cast<double>(mixed(stream + static_cast<uint64_t>(i)) >> 43U) / 1048576.0 - 1);
  return values;
}

inline int64_t count_of(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

inline at::Tensor tensor_of(std::vector<double>& values, const std::vector<int64_t>& shape) {
  return at::from_blob(values.data(), shape, at::kDouble).clone();
}

inline at::Tensor start_of(const Problem& problem, size_t tensor) {
  const auto& shape = problem.shapes[tensor];
  auto values = numbers(problem.key, tensor, 0, count_of(shape));
  at::Tensor start = tensor_of(values, shape).to(problem.dtype);
  if (problem.has("turned") && shape.size() >= 2) start = start.transpose(-1, -2).contiguous().transpose(-1, -2);
  return start.requires_grad_();
}

inline at::Tensor gradient_of(const Problem& problem, size_t tensor, int64_t step) {
  auto shape = problem.shapes[tensor];
  const double size = problem.traits.at("size");
  auto values = numbers(problem.key, tensor, step, count_of(shape));
  if (problem.is_sparse()) {
    std::vector<double> rows;
    for (const double number : numbers(problem.key, tensor + 8, step, step % 5))
      rows.push_back(std::floor((number + 1) / 2 * static_cast<double>(shape[0])));
    const auto count = static_cast<int64_t>(rows.size());
    auto part = shape;
    part[0] = count;
    return at::sparse_coo_tensor(tensor_of(rows, {1, count}).to(at::kLong),
                                 (tensor_of(values, part) * size).to(problem.dtype), shape);
  }
  if (problem.has("zero")) {
    const bool all = (step + static_cast<int64_t>(tensor)) % 5 == 0;
    for (double& value : values) {
      if (all || std::abs(value) < 0.25) value = 0;
    }
  }
  return (tensor_of(values, shape) * size).to(problem.dtype);
}

/// As `evaluate` of the peer.
inline at::Tensor evaluate(const Problem& problem, const Parameters& parameters) {
  const at::NoGradGuard no_grad;
  at::Tensor total = at::zeros({}, at::kDouble);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& parameter = parameters[i].tensor;
    auto slopes = numbers(problem.key, i + 8, 1, parameter.numel());
    auto bottoms = numbers(problem.key, i + 8, 2, parameter.numel());
    const at::Tensor a = tensor_of(slopes, problem.shapes[i]) * 4.5 + 5.5;
    const at::Tensor away = parameter.detach() - tensor_of(bottoms, problem.shapes[i]) * 2;
    parameter.mutable_grad() = a * away + away * away * away;
    total = total + (a * away * away / 2 + away * away * away * away / 4).sum();
  }
  return total;
}

inline std::vector<double> values_of(const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().to(at::kDouble).contiguous();
  const auto* first = static_cast<const double*>(values.const_data_ptr());
  return {first, first + values.numel()};
}

class Run {
 public:
  explicit Run(const Problem& problem) : problem_(problem), recipe_(recipe_of(problem)) {
    for (size_t i = 0; i < problem.shapes.size(); ++i)
      parameters_.push_back({"p" + std::to_string(i), start_of(problem, i)});
    bind();
  }

  std::map<std::string, std::vector<double>> go() {
    std::vector<int64_t> shown;
    for (const auto& [name, values] : problem_.results) {
      if (name.starts_with("step ")) shown.push_back(std::stoll(name.substr(5)));
    }
    std::sort(shown.begin(), shown.end());
    shown.erase(std::unique(shown.begin(), shown.end()), shown.end());
    for (const int64_t step : shown) {
      while (step_ < step) advance();
      for (const Parameter& parameter : parameters_)
        results_["step " + std::to_string(step) + " " + parameter.name] = values_of(parameter.tensor);
    }
    if (problem_.kind == "LBFGS") return std::move(results_);
    const Tree saved = save_state(*optimizer_);
    for (const Parameter& parameter : parameters_) {
      for (const auto& [name, entry] : saved[parameter.name].entries()) {
        const std::string full = "state " + std::string(name) + " " + parameter.name;
        if (entry.is_tensor() && entry.tensor().defined()) results_[full] = values_of(entry.tensor());
        if (entry.kind() == Tree::Kind::integer) results_[full] = {static_cast<double>(entry.integer())};
      }
    }
    return std::move(results_);
  }

 private:
  void bind() {
    const GroupOptions second = group_options_of(problem_.second);
    if (problem_.kind == "LBFGS") {
      optimizer_ = recipe_.on({{parameters_, {}}});
    } else {
      optimizer_ = recipe_.on({{{parameters_.front()}, {}}, {{parameters_.begin() + 1, parameters_.end()}, second}});
    }
  }

  void advance() {
    ++step_;
    if (problem_.evaluates()) {
      optimizer_->step([&] { return evaluate(problem_, parameters_); });
    } else {
      give_gradients(1);
      if (problem_.has("rate") && step_ == steps / 2) optimizer_->set_lr(0, problem_.traits.at("rate"));
      if (problem_.key % 2 == 0) skip_a_step();
      if (problem_.key % 3 == 0) {
        // A divisor that rounds nothing.
        give_gradients(1024);
        optimizer_->step({.divisor = at::full({}, 1024.0), .found_inf = at::zeros({})});
      } else {
        optimizer_->step();
      }
    }
    // Somewhere on the way the run goes on elsewhere.
    if (step_ == 1 + static_cast<int64_t>(problem_.key % 97)) move();
  }

  void give_gradients(double factor) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const bool is_late = problem_.has("late") && i + 1 == parameters_.size() && step_ <= late_step;
      parameters_[i].tensor.mutable_grad() = is_late ? at::Tensor() : gradient_of(problem_, i, step_) * factor;
    }
  }

  void skip_a_step() {
    for (const Parameter& parameter : parameters_) {
      if (parameter.tensor.grad().defined() && !problem_.is_sparse())
        parameter.tensor.mutable_grad().fill_(std::numeric_limits<double>::quiet_NaN());
    }
    optimizer_->step({.divisor = at::full({}, 7.0), .found_inf = at::full({}, 2.0)});
    give_gradients(1);
  }

  void move() {
    const Tree saved = save_state(*optimizer_);
    for (Parameter& parameter : parameters_) parameter.tensor = parameter.tensor.detach().clone().requires_grad_();
    bind();
    load_state(*optimizer_, saved);
  }

  const Problem& problem_;
  optim::Recipe recipe_;
  Parameters parameters_;
  std::shared_ptr<Optimizer> optimizer_;
  int64_t step_ = 0;
  std::map<std::string, std::vector<double>> results_;
};

inline std::vector<Problem> read_problems(const fs::path& path) {
  std::vector<Problem> problems;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word, name;
    words >> word;
    if (word == "problem") {
      Problem& problem = problems.emplace_back();
      words >> problem.kind >> name >> problem.key;
      problem.dtype = name == "float64" ? at::kDouble : name == "bfloat16" ? at::kBFloat16 : at::kFloat;
    } else if (word == "shapes") {
      while (words >> word) {
        auto& shape = problems.back().shapes.emplace_back();
        std::replace(word.begin(), word.end(), 'x', ' ');
        std::istringstream sizes(word == "-" ? "" : word);
        for (int64_t size = 0; sizes >> size;) shape.push_back(size);
      }
    } else if (word == "option" || word == "second") {
      words >> name;
      auto& values = (word == "option" ? problems.back().options : problems.back().second)[name];
      while (words >> word) values.push_back(word);
    } else if (word == "step" || word == "state") {
      std::string of, parameter;
      words >> of >> parameter;
      auto& values = problems.back().results[word + " " + of + " " + parameter];
      while (words >> name) values.push_back(std::strtod(name.c_str(), nullptr));
    } else if (word != "end" && word != "#" && !word.empty()) {
      words >> problems.back().traits[word];
    }
  }
  return problems;
}

inline double unit_of(at::ScalarType dtype) {
  if (dtype == at::kDouble) return std::numeric_limits<double>::epsilon();
  return dtype == at::kBFloat16 ? 0.0078125 : static_cast<double>(std::numeric_limits<float>::epsilon());
}

/// How far ours may be from Python's, in units of the roundoff of the dtype at the largest number of a tensor.
///
/// Gradients do not depend on the weights, so that a difference does not grow but by what each step adds. The kernels
/// round where LibTorch's operators round; apart from square roots, which MKL takes with an error of up to one unit,
/// the two sides do the same. So a step adds at most one unit to the update, and one where the sum of weight and update
/// falls on the other side of a rounding: two a step, 200 over all. A wrong formula shows as millions.
///
/// bfloat16 takes LibTorch's operators on both sides, in the same order: no difference at all.
///
/// The gradients of LBFGS and SAM do depend on the weights: a difference comes back in the gradient times the
/// curvature, which is 1 to some tens in these problems, and a second time where LBFGS divides by it. Most steps go
/// downhill and make it smaller, which leaves 1e4; some go too far and make it larger. Python trains such a problem
/// twice more, with a start and a gradient of each evaluation that are a rounding away, and says how far away it
/// arrived, the echo. An evaluation and a step round up to some tens of times, not once, which leaves 100.
///
/// Muon multiplies matrices of bfloat16, and both sides round each sum of float32 to it, which they have added up in
/// another order: where the sum is next to the middle of two numbers, one side takes the upper. That is one number in
/// some thousands, so some hundreds a problem; its unit, a 256th, is in the iteration multiplied by 3.4 and less a time
/// and then by a rate of up to a tenth. Hundreds of them with both signs end at a thousandth of the weights, which is a
/// seventh of a unit of bfloat16. Weights that are bfloat16 themselves may be rounded to the other side by it, a few
/// times in the same number: three units.
inline double tolerance_of(const Problem& problem) {
  if (problem.evaluates()) return std::max(1e4, 100 * problem.traits.at("echo"));
  if (problem.kind == "Muon")
    return problem.dtype == at::kBFloat16 ? 3 : 0.5 * unit_of(at::kBFloat16) / unit_of(problem.dtype);
  return problem.dtype == at::kBFloat16 ? 0 : 2 * static_cast<double>(steps);
}

/// The largest number of a tensor; of a weight, the largest that it had in any step shown, because what was rounded
/// then stays when it passes by zero. Where gradients depend on the weights, 1 at least: the weights lie about there,
/// and their rounding is in the gradient, and in the momentum, however small these are near the minimum.
inline double scale_of(const Problem& problem, const std::string& name) {
  double scale = problem.evaluates() ? 1 : std::numeric_limits<double>::min();
  const std::string parameter = name.substr(name.rfind(' '));
  for (const auto& [other, values] : problem.results) {
    if (other != name && !(name.starts_with("step") && other.starts_with("step") && other.ends_with(parameter)))
      continue;
    for (const double value : values) scale = std::max(scale, std::abs(value));
  }
  return scale;
}

inline std::string title_of(const Problem& problem) {
  std::string title =
      problem.kind + " " + std::string(c10::toString(problem.dtype)) + ", key " + std::to_string(problem.key);
  for (const auto& [word, options] : {std::pair("", &problem.options), std::pair("second ", &problem.second)}) {
    for (const auto& [name, values] : *options) title += std::string(", ") + word + name + " " + values.front();
  }
  return title;
}

/// Trains the problem; the largest difference in units.
inline double expect_agreement(const Problem& problem) {
  SCOPED_TRACE(title_of(problem));
  const HostGuard guard({.keep_freed_memory = false,
                         .flush_denormals = false,
                         .threads = 1});  // small tensors, and Python flushes nothing
  const auto ours = Run(problem).go();
  double most = 0;
  for (const auto& [name, theirs] : problem.results) {
    const auto found = ours.find(name);
    if (found == ours.end()) {
      ADD_FAILURE() << "there is no " << name;
      continue;
    }
    if (found->second.size() != theirs.size()) {
      ADD_FAILURE() << name << " has " << found->second.size() << " numbers, not " << theirs.size();
      continue;
    }
    const double scale = scale_of(problem, name);
    double largest = 0;
    for (size_t i = 0; i < theirs.size(); ++i) {
      const double difference = std::abs(found->second[i] - theirs[i]) / scale / unit_of(problem.dtype);
      if (!(difference <= largest)) largest = difference;  // also for NaN
    }
    EXPECT_LE(largest, tolerance_of(problem)) << name;
    if (!(largest <= most)) most = largest;
  }
  for (const auto& [name, values] : ours) EXPECT_TRUE(problem.results.contains(name)) << "Python has no " << name;
  return most;
}

/// The seed of this run: ATHANOR_TEST_SEED, or a new one.
inline unsigned seed_of_run() {
  static const unsigned seed = [] {
    const char* given = std::getenv("ATHANOR_TEST_SEED");
    return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                            : std::random_device()() % 1000000;
  }();
  return seed;
}

/// The problems that Python draws and trains in this run; none, with a note, when its torch is not there.
inline std::vector<Problem> problems_of_this_run(const std::string& kinds, int count) {
  std::string folder = (fs::temp_directory_path() / "athanor-random-problems-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return {};
  const fs::path file = fs::path(folder) / "problems.txt";
  const std::string python = ATHANOR_TEST_PYTHON;
  std::vector<Problem> problems;
  const std::string command = python + " " ATHANOR_SOURCE_DIR "/tests/optim/optimizers_peer.py " + file.string() + " " +
                              std::to_string(seed_of_run()) + " " + std::to_string(count) + " " + kinds;
  constexpr int without_torch = 77, without_python = 127;
  const int status = std::system(command.c_str());
  if (WEXITSTATUS(status) == without_torch || WEXITSTATUS(status) == without_python) {
    std::cout << "torch is not in " << python << ": recorded references only\n";
  } else {
    std::cout << "torch of " << python << ", seed " << seed_of_run() << " (ATHANOR_TEST_SEED)\n";
    EXPECT_EQ(status, 0) << command;
    problems = read_problems(file);
  }
  fs::remove_all(folder);
  return problems;
}

/// Trains all problems of these classes, and says how near both sides came.
inline void expect_agreement_with_python(const std::string& kinds, int count = 30) {
  std::map<std::string, std::pair<int, double>> seen;
  for (const Problem& problem : problems_of_this_run(kinds, count)) {
    auto& [number, most] = seen[problem.kind + " " + c10::toString(problem.dtype)];
    const double largest = expect_agreement(problem);
    ++number;
    if (!(largest <= most)) most = largest;
  }
  for (const auto& [name, found] : seen)
    std::cout << name << ": " << found.first << " problems, at most " << found.second << " units apart\n";
}

}  // namespace athanor::testing::random_problems
