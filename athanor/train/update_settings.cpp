// SPDX-License-Identifier: Apache-2.0
// Update: its options, the schedules, and the settings of optimizers as values.
#include <torch/torch.h>

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/update.hpp"

namespace athanor {

void Update::configure(UpdateOptions options, const Moments* moments) {
  moments_ = moments;
  if (options.precision == Precision::f16 && !scaler_) scaler_.emplace(options.scaler, device_);
  if (options.precision != Precision::f16) scaler_.reset();
  for (const NamedOptimizer& named : optimizers_) {
    if (scaler_ && named.optimizer->needs_closure()) {
      throw Error({.what = "an optimizer that evaluates the loss several times can't work with a loss scaler",
                   .where = named.optimizer->describe() + ", precision f16",
                   .todo = "train in bf16 or float32"});
    }
  }
  for (const Penalty& penalty : options.penalties) {
    bool used = false;
    for (const NamedOptimizer& named : optimizers_) {
      for (const Parameter& parameter : named.optimizer->parameters()) {
        used = used || matches(penalty.pattern, parameter.name);
      }
    }
    if (!used || penalty.l1 < 0 || penalty.l2 < 0) {
      throw Error({.what = used ? "a penalty is negative" : "a penalty matches no parameter",
                   .where = "option penalties",
                   .got = used ? shortest(std::min(penalty.l1, penalty.l2)) : penalty.pattern,
                   .expected = used ? "0 or more" : "a pattern of parameter names, such as *.weight"});
    }
  }
  options_ = std::move(options);
}

void Update::set_length(std::optional<int64_t> steps, std::optional<double> epochs) {
  total_steps_ = steps;
  total_epochs_ = epochs;
  for (size_t i = 0; i < optimizers_.size(); ++i) {
    if (optimizers_[i].schedule && !optimizers_[i].schedule->begun()) {
      NamedOptimizer& named = optimizers_[i];
      named.schedule->begin(*named.optimizer);
      // A run that goes on with another schedule: it is where it would be, had it been there from the beginning.
      if (updates_[i] == 0 || named.schedule->cadence() == Cadence::value) continue;
      ScheduleTime time{.updates = updates_[i], .epochs = trainer_.position().elapsed().epochs};
      if (total_steps_) time.total_updates = (*total_steps_ + named.every - 1) / named.every;
      time.total_epochs = total_epochs_;
      named.schedule->step(*named.optimizer, time);
    }
  }
}

std::vector<std::string> Update::compare_schedules() const {
  std::vector<std::string> texts;
  for (const NamedOptimizer& named : optimizers_) {
    const auto length = named.schedule ? named.schedule->length() : std::nullopt;
    if (!length) continue;
    std::optional<double> run;
    if (length->unit() == Duration::Unit::epochs) run = total_epochs_;
    if (length->unit() == Duration::Unit::steps && total_steps_) {
      const int64_t steps = (*total_steps_ + named.every - 1) / named.every;
      run = static_cast<double>(steps);
    }
    if (!run || *run == length->count()) continue;
    const std::string unit = length->unit() == Duration::Unit::epochs ? " epochs" : " steps";
    texts.push_back("the schedule of " + named.name + ", " + named.schedule->describe() + ", is " + length->describe() +
                    " long and the run " + shortest(*run) + unit +
                    (*run < length->count() ? ": it will not come to its end" : ": its last value stays after that"));
  }
  return texts;
}

void Update::log_step(std::string_view name, double value) {
  step_logs_.push_back({.name = std::string(name), .value = value, .options = {.per_step = true}});
}

double Update::loss_scale() const { return scaler_ ? scaler_->scale().item<double>() : 1.0; }

void Update::report_step_values(Values& values) const {
  for (const StepRecord::Log& log : step_logs_) {
    if (const auto* tensor = std::get_if<at::Tensor>(&log.value)) {
      values.set("train_" + log.name, tensor->item<double>());
    } else if (const auto* number = std::get_if<double>(&log.value)) {
      values.set("train_" + log.name, *number);
    }
  }
}

void Update::report_hyperparameters(Values& values) const {
  for (const OptimizerSetting& setting : settings_of(optimizers_)) values.set(setting.name, setting.value);
}

std::vector<OptimizerSetting> settings_of(Optimizers& optimizers) {
  static constexpr std::pair<Optimizer::Field, const char*> fields[] = {
      {Optimizer::Field::lr, "lr"},
      {Optimizer::Field::momentum, "momentum"},
      {Optimizer::Field::weight_decay, "weight_decay"}};
  std::vector<OptimizerSetting> settings;
  for (const auto& [field, field_name] : fields) {
    for (NamedOptimizer& named : optimizers) {
      for (size_t group = 0; group < named.optimizer->groups(); ++group) {
        const std::optional<double> value = named.optimizer->get(field, group);
        if (!value) continue;
        std::string name = field_name;
        if (optimizers.size() > 1) name += "_" + named.name;
        if (named.optimizer->groups() > 1) name += "_" + std::to_string(group);
        settings.push_back({std::move(name), &named, field, group, *value});
      }
    }
  }
  return settings;
}

}  // namespace athanor
