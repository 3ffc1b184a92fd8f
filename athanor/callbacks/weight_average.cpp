// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/weight_average.hpp"

#include <torch/torch.h>

#include <array>
#include <cmath>
#include <numbers>

#include "athanor/callbacks/batch_norm.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

at::ScalarType averaged_dtype(const at::Tensor& tensor) {
  const auto dtype = tensor.scalar_type();
  return dtype == at::kHalf || dtype == at::kBFloat16 ? at::kFloat : dtype;
}

void check_interval(const Duration& interval, const char* where) {
  if (interval.count() > 0) return;
  throw Error({.what = "an average over nothing", .where = where, .got = interval.describe(), .expected = "above 0"});
}

}  // namespace

std::span<const std::pair<const char*, AveragedBuffers>> enum_names(AveragedBuffers) noexcept {
  static constexpr std::array names = {std::pair{"live", AveragedBuffers::live},
                                       std::pair{"averaged", AveragedBuffers::averaged},
                                       std::pair{"refreshed", AveragedBuffers::refreshed}};
  return names;
}

NamedTensors WeightAverage::tensors() const {
  NamedTensors all;
  for (size_t i = 0; i < averages_.size() && count_ > 0; ++i) all.emplace_back(names_[i], averages_[i]);
  return all;
}

void WeightAverage::on_fit_begin(Trainer& trainer) {
  const torch::NoGradGuard no_grad;
  live_.clear();
  NamedTensors buffers;
  const Nets& nets = trainer.task().nets();
  for (const NamedNet& net : nets) {
    const std::string prefix = nets.size() == 1 ? "" : net.name + ".";
    for (const auto& item : net.module->named_parameters()) live_.emplace_back(prefix + item.key(), item.value());
    for (const auto& item : net.module->named_buffers()) buffers.emplace_back(prefix + item.key(), item.value());
  }
  parameters_ = live_.size();
  if (use_.buffers != AveragedBuffers::live) live_.insert(live_.end(), buffers.begin(), buffers.end());
  names_.clear();
  for (const auto& [name, tensor] : live_) names_.push_back(name);
  const size_t averaged = use_.buffers == AveragedBuffers::averaged ? live_.size() : parameters_;
  if (averages_.size() != averaged) {
    averages_.clear();
    for (size_t i = 0; i < averaged; ++i)
      averages_.push_back(at::empty_like(live_[i].second, averaged_dtype(live_[i].second)));
    count_ = 0;
  }
  if (use_.buffers == AveragedBuffers::refreshed && trainer.training_loader() == nullptr) {
    throw Error({.what = "averaged weights need training data for the statistics of BatchNorm",
                 .where = "AverageUse::buffers",
                 .got = "refreshed, and batches that the caller's loop brings",
                 .todo = "take AveragedBuffers::live or averaged"});
  }
  // A state that was saved while the average was in the nets.
  if (in_use_) put_back();
}

void WeightAverage::take(double share) {
  const torch::NoGradGuard no_grad;
  const bool first = count_ == 0;
  std::vector<at::Tensor> averages, weights;
  for (size_t i = 0; i < averages_.size(); ++i) {
    const at::Tensor& weight = live_[i].second;
    if (first || !weight.is_floating_point()) {
      averages_[i].copy_(weight);
      continue;
    }
    averages.push_back(averages_[i]);
    weights.push_back(weight.to(averages_[i].scalar_type()).detach());
  }
  if (!averages.empty()) at::_foreach_lerp_(averages, weights, share);
  count_ += 1;
}

void WeightAverage::put_in(Trainer& trainer) {
  const torch::NoGradGuard no_grad;
  if (set_aside_.size() != live_.size()) {
    set_aside_.clear();
    for (const auto& [name, tensor] : live_) set_aside_.push_back(at::empty_like(tensor));
  }
  in_use_ = true;
  for (size_t i = 0; i < live_.size(); ++i) {
    at::Tensor weight = live_[i].second;
    set_aside_[i].copy_(weight);
    if (i < averages_.size()) weight.copy_(averages_[i]);
  }
  if (use_.buffers == AveragedBuffers::refreshed) refresh_batch_norm(trainer, use_.refresh_batches);
}

void WeightAverage::put_back() {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < live_.size(); ++i) at::Tensor(live_[i].second).copy_(set_aside_[i]);
  in_use_ = false;
}

void WeightAverage::on_check_begin(Trainer& trainer) {
  if (use_.in_validation && count_ > 0) put_in(trainer);
}

void WeightAverage::on_check_end(Trainer&) {
  if (in_use_) put_back();
}

void WeightAverage::on_exception(Trainer&) {
  if (in_use_) put_back();
}

void WeightAverage::on_fit_end(Trainer& trainer) {
  if (!use_.at_end || count_ == 0) return;
  put_in(trainer);
  in_use_ = false;
  trainer.message("the weights are the average of " + std::to_string(count_) + (count_ == 1 ? " update" : " updates"));
}

void WeightAverage::state(State& state) {
  state.value("count", count_);
  state.value("in_use", in_use_);
  const auto walk = [&](std::string_view name, std::vector<at::Tensor>& tensors, bool wanted) {
    Tree list = Tree::List{};
    // Copies, because the next average is written over the tensors that are here.
    for (size_t i = 0; state.saving() && wanted && i < tensors.size(); ++i)
      list.items().emplace_back(tensors[i].clone());
    state.value(name, list);
    if (!state.loading()) return;
    tensors.clear();
    for (const Tree& tensor : list.items()) tensors.push_back(tensor.tensor().clone());
  };
  walk("averages", averages_, count_ > 0);
  walk("set_aside", set_aside_, in_use_);
}

Ema::Ema(EmaOptions options) : WeightAverage(options.use), options_(options) {
  check_interval(options_.every, "EmaOptions::every");
  if (options_.decay >= 0 && options_.decay < 1) return;
  throw Error({.what = "the decay of an average is out of range",
               .where = "EmaOptions::decay",
               .got = format_number(options_.decay),
               .expected = "from 0 to below 1"});
}

void Ema::on_step_end(Trainer& trainer) {
  if (!trainer.last_update().finite) return;
  if (!options_.every.passed(trainer.elapsed_before_update(), trainer.position().elapsed())) return;
  const auto n = static_cast<double>(count());
  const double decay = options_.warm_up ? std::min(options_.decay, (1 + n) / (10 + n)) : options_.decay;
  take(1 - decay);
}

Swa::Swa(SwaOptions options) : WeightAverage(options.use), options_(options) {
  check_interval(options_.every, "SwaOptions::every");
  check_interval(options_.anneal, "SwaOptions::anneal");
  if (!options_.lr || *options_.lr >= 0) return;
  throw Error({.what = "a learning rate is below 0", .where = "SwaOptions::lr", .got = format_number(*options_.lr)});
}

void Swa::on_fit_begin(Trainer& trainer) {
  WeightAverage::on_fit_begin(trainer);
  const Duration& length = trainer.options().max_duration;
  if (options_.start) {
    start_ = *options_.start;
  } else if (length.unit() == Duration::Unit::epochs) {
    start_ = Duration::epochs(std::floor(0.75 * length.count()));
  } else if (length.unit() == Duration::Unit::steps) {
    start_ = Duration::steps(static_cast<int64_t>(0.75 * length.count()));
  } else {
    throw Error({.what = "it is not known where three quarters of the run are",
                 .where = "SwaOptions::start",
                 .got = "a run of " + length.describe(),
                 .todo = "say where averaging begins"});
  }
  for (const NamedOptimizer& named : trainer.optimizers()) {
    if (!options_.lr || !named.schedule || named.schedule->field() != OptimizerField::lr) continue;
    throw Error({.what = "a schedule and SWA both want to set the learning rate",
                 .where = "optimizer " + named.name + ", SwaOptions::lr",
                 .got = named.schedule->describe(),
                 .todo = "leave one of them out"});
  }
}

void Swa::on_step_end(Trainer& trainer) {
  const Elapsed now = trainer.position().elapsed();
  if (!start_.reached(now)) return;
  if (options_.lr) anneal(trainer);
  if (!trainer.last_update().finite || !options_.every.passed(trainer.elapsed_before_update(), now)) return;
  take(1.0 / static_cast<double>(count() + 1));
}

void Swa::anneal(Trainer& trainer) {
  const bool first = base_lrs_.items().empty();
  if (first) began_ = trainer.position().elapsed();
  const double passed = options_.anneal.measure(trainer.position().elapsed()) - options_.anneal.measure(began_);
  const double share = std::min(std::floor(passed + 1e-9) / options_.anneal.count(), 1.0);
  const double alpha = (1 - std::cos(std::numbers::pi * share)) / 2;
  size_t index = 0;
  for (NamedOptimizer& named : trainer.optimizers()) {
    for (size_t group = 0; group < named.optimizer->groups(); ++group, ++index) {
      if (first) base_lrs_.items().emplace_back(named.optimizer->lr(group));
      named.optimizer->set_lr(group, *options_.lr * alpha + base_lrs_.items()[index].real() * (1 - alpha));
    }
  }
}

void Swa::state(State& state) {
  WeightAverage::state(state);
  state.value("base_lrs", base_lrs_);
  state.child("began", began_);
}

}  // namespace athanor
