// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/rehearsal.hpp"

#include <torch/types.h>

#include <algorithm>

#include "athanor/train/evaluation.hpp"
#include "athanor/train/explain.hpp"
#include "athanor/train/run_place.hpp"
#include "athanor/train/update.hpp"

namespace athanor {

Rehearsal::Rehearsal(Trainer& trainer, const Loader& train, const Feed& train_feed, const std::vector<Feed>& validation,
                     LayerSight* sight)
    : trainer_(trainer), train_(train), train_feed_(train_feed), validation_(validation), sight_(sight) {}

void Rehearsal::run() {
  trainer_.names_.clear();
  EvalMode eval(trainer_.task_->nets());
  torch::NoGradGuard no_grad;
  pass(train_, train_feed_, Stage::train, "train_");
  for (const Feed& feed : validation_) {
    const std::string name = name_of(feed.data, Stage::validation);
    pass(trainer_.loader_of(feed.data, Stage::validation), feed, Stage::validation, name + "_");
  }
  if (trainer_.options_.pool_validation && validation_.size() > 1) {
    trainer_.add_name("val_loss", Direction::down);
    const Meter pooled = trainer_.meter_of(validation_.front(), Stage::validation);
    for (const Metric& metric : pooled.metrics()) trainer_.add_name("val_" + metric.name(), metric.direction());
  }
  Values hyperparameters;
  trainer_.update_->report_hyperparameters(hyperparameters);
  for (const auto& [name, value] : hyperparameters) trainer_.add_name(name, Direction::unknown);
}

void Rehearsal::pass(const Loader& loader, const Feed& feed, Stage stage, const std::string& prefix) {
  Task& task = *trainer_.task_;
  Meter meter = stage == Stage::train ? Meter(trainer_.train_meter_.metrics()) : trainer_.meter_of(feed, stage);
  meter.reset();
  const int64_t count = stage == Stage::train ? 1 : std::min(trainer_.options_.rehearsal_batches, loader.batches());
  Pass batches = loader.epoch(1, 0, count, trainer_.options_.seed);
  const StepFunction unwatched = [&](const Batch& batch, StepContext& context) {
    if (stage == Stage::train) return task.rehearsal_step(batch, context);
    return feed.options.step ? feed.options.step(batch, context) : task.validation_step(batch, context);
  };
  const StepFunction step = [&](const Batch& batch, StepContext& context) {
    if (sight_ == nullptr || sight_->has_seen()) return unwatched(batch, context);
    return sight_->watch([&] { return unwatched(batch, context); });
  };
  for (int64_t number = 0; const Batch* fetched = batches.next(); ++number) {
    const Batch batch = trainer_.prepare(*fetched);
    StepContext context(stage, 0, 0, number);
    const AutocastGuard autocast(trainer_.options_.precision, trainer_.device_.type());
    const StepOutput output = Evaluation::step(batch, context, meter, feed.options.loss, step);
    if (number > 0) continue;
    try {
      for (const NamedLoader& part : loader.parts()) task.check_data(part.loader.dataset(), output);
    } catch (...) {
      explain_step_failure(batch, context);
    }
  }
  if (stage == Stage::train) {
    const Optimizers& optimizers = trainer_.optimizers_;
    const bool several = optimizers.size() > 1 && !task.manual_optimization();
    if (!several) trainer_.add_name(prefix + "loss", Direction::down);
    for (const NamedOptimizer& named : optimizers) {
      if (several) trainer_.add_name(prefix + "loss_" + named.name, Direction::down);
    }
  } else if (feed.options.loss) {
    trainer_.add_name(prefix + "loss", Direction::down);
  }
  for (const Metric& metric : meter.metrics()) trainer_.add_name(prefix + metric.name(), metric.direction());
  for (const auto& [name, direction] : meter.directions(prefix)) trainer_.add_name(name, direction);
}

}  // namespace athanor
