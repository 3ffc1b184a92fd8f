// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/rehearsal.hpp"

#include <torch/types.h>

#include "athanor/train/evaluation.hpp"
#include "athanor/train/explain.hpp"

namespace athanor {

Rehearsal::Rehearsal(Trainer& trainer, const Loader& train, const Loader* validation,
                     const std::string& validation_name)
    : trainer_(trainer), train_(train), validation_(validation), validation_name_(validation_name) {}

void Rehearsal::run() {
  trainer_.names_.clear();
  EvalMode eval(trainer_.task_->nets());
  torch::NoGradGuard no_grad;
  const Metrics& metrics = trainer_.train_meter_.metrics();
  pass(train_, Stage::train, "train_", metrics);
  if (validation_ != nullptr) pass(*validation_, Stage::validation, validation_name_ + "_", metrics);
}

void Rehearsal::pass(const Loader& loader, Stage stage, const std::string& prefix, const Metrics& metrics) {
  Task& task = *trainer_.task_;
  Meter meter(metrics);
  meter.reset();
  Pass batches = loader.epoch(1, 0, 1, trainer_.options_.seed);
  const Batch batch = batches.next()->to(trainer_.device_);
  StepContext context(stage, 0, 0, 0);
  const StepOutput output = Evaluation::step(batch, context, meter, [&](const Batch& b, StepContext& c) {
    return stage == Stage::train ? task.rehearsal_step(b, c) : task.validation_step(b, c);
  });
  try {
    task.check_data(loader.dataset(), output);
  } catch (...) {
    explain_step_failure(batch, context);
  }
  trainer_.names_.emplace_back(prefix + "loss", Direction::down);
  for (const Metric& metric : metrics) trainer_.names_.emplace_back(prefix + metric.name(), metric.direction());
  for (const auto& [name, direction] : meter.directions(prefix)) {
    const auto same = [&](const auto& known) { return known.first == name; };
    if (std::none_of(trainer_.names_.begin(), trainer_.names_.end(), same)) {
      trainer_.names_.emplace_back(name, direction);
    }
  }
}

}  // namespace athanor
