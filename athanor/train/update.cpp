// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/update.hpp"

#include <torch/torch.h>

#include "athanor/core/error.hpp"
#include "athanor/core/host_scalar.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/explain.hpp"
#include "athanor/train/layer_watch.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {
namespace {

/// Waits for the device.
double read(const at::Tensor& scalar) { return scalar.is_cpu() ? read_host_scalar(scalar) : scalar.item<double>(); }

bool is_true(const at::Tensor& flag) { return flag.defined() && read(flag) != 0; }

}  // namespace

Update::Update(Trainer& trainer, Task& task, Optimizers& optimizers, Meter& meter, at::Device device)
    : trainer_(trainer),
      task_(task),
      optimizers_(optimizers),
      meter_(meter),
      device_(device),
      buffers_(task.nets()),
      updates_(optimizers.size()) {}

UpdateResult Update::run(std::span<Batch> window, StepContext& context) {
  UpdateResult result;
  result.samples = count_samples(window);
  window_size_ = static_cast<int64_t>(window.size());
  if (options_.check_finite) buffers_.keep();
  overflow_.reset();
  step_logs_.clear();
  std::optional<LayerWatch> watch;
  if (options_.detect_anomaly) watch.emplace(named_tensors(task_.nets()));
  if (task_.manual_optimization()) {
    result = run_manually(window, context);
  } else {
    run_optimizers(window, context, result);
  }
  if (watch && watch->finding()) {
    buffers_.restore();
    throw Error({.what = "NaN or infinity in a training step",
                 .where = describe_place(window.front(), context),
                 .got = watch->describe(),
                 .todo = "look at that layer and at what goes into it; the weights are those of the step before when "
                         "loss or gradients were not finite"});
  }
  if (scaler_ && overflow_.defined()) scaler_->update(overflow_);
  if (!result.finite) buffers_.restore();
  if (result.not_finite.defined()) buffers_.restore_where(result.not_finite);
  return result;
}

void Update::run_optimizers(std::span<Batch> window, StepContext& context, UpdateResult& result) {
  bool measured = true;  // a batch goes into the metrics once, whatever the number of optimizers
  for (size_t i = 0; i < optimizers_.size(); ++i) {
    NamedOptimizer& named = optimizers_[i];
    if (context.step() % named.every != 0) continue;
    context.optimizer_ = named.name;
    Outcome outcome = run_one(window, context, {i, named}, measured);
    measured = false;
    if (optimizers_.size() > 1) result.losses.emplace_back(named.name, outcome.loss);
    result.loss = std::move(outcome.loss);
    result.gradient_norm = std::move(outcome.gradient_norm);
    result.finite = result.finite && outcome.finite;
    if (outcome.not_finite.defined()) {
      result.not_finite = result.not_finite.defined() ? result.not_finite + outcome.not_finite : outcome.not_finite;
    }
  }
}

Update::Outcome Update::run_one(std::span<Batch> window, StepContext& context, Due due, bool measured) {
  Optimizer& optimizer = *due.named.optimizer;
  const std::string loss_name = optimizers_.size() == 1 ? "loss" : "loss_" + due.named.name;
  Outcome outcome;
  if (optimizer.needs_closure()) {
    // An optimizer that evaluates again does not count a batch twice, neither in the values nor in BatchNorm.
    std::optional<Buffers> once;
    at::Tensor loss = optimizer.step([&] {
      at::Tensor evaluated = evaluate(window, context, due.index);
      Outcome latest = finish(evaluated, due, context, /*stepped_already=*/true);
      if (!once) {
        outcome = std::move(latest);
        if (outcome.finite) commit(loss_name, measured);
        once.emplace(task_.nets()).keep();
      }
      pending_.clear();
      return evaluated;
    });
    if (once) once->restore();
    outcome.loss = std::move(loss);
    if (options_.check_finite) add_loss(outcome);
    if (outcome.finite) count_step(due, context);
    trainer_.step_times().lap(StepPhase::optimizer);
    return outcome;
  }
  outcome = finish(evaluate(window, context, due.index), due, context, /*stepped_already=*/false);
  trainer_.step_times().lap(StepPhase::optimizer);
  if (outcome.finite) commit(loss_name, measured);
  pending_.clear();
  trainer_.step_times().lap(StepPhase::metrics);
  return outcome;
}

/// An optimizer that gave its step up because a later evaluation was not finite says so by its loss.
void Update::add_loss(Outcome& outcome) const {
  if (device_.is_cpu()) {
    outcome.finite = outcome.finite && std::isfinite(read(outcome.loss));
    return;
  }
  const at::Tensor bad = torch::isfinite(outcome.loss).logical_not().to(torch::kFloat);
  outcome.not_finite = outcome.not_finite.defined() ? outcome.not_finite + bad : bad;
}

void Update::count_step(Due due, StepContext& context) {
  updates_[due.index] += 1;
  step_schedule(due);
  tell(Moment::optimizer_end, nullptr, &context, nullptr, due.named.name);
}

/// Everything between the gradients and the end of the step.
Update::Outcome Update::finish(const at::Tensor& loss, Due due, StepContext& context, bool stepped_already) {
  Optimizer& optimizer = *due.named.optimizer;
  const auto& clip = due.named.clip ? due.named.clip : options_.clip;
  Outcome outcome;
  outcome.loss = loss;
  PreparedStep prepared;
  if (!clip && !scaler_ && device_.is_cpu()) {
    outcome.finite =
        !options_.check_finite || (std::isfinite(read(loss)) && gradients_are_finite(optimizer.parameters()));
    if (!outcome.finite) return outcome;
  } else if (clip || scaler_ || options_.check_finite) {
    torch::NoGradGuard no_grad;
    prepared = prepare_step(optimizer.parameters(), clip, scaler_ ? scaler_->scale() : at::Tensor(),
                            options_.check_finite || scaler_.has_value());
    outcome.gradient_norm = prepared.norm;
    if (scaler_) overflow_ = overflow_.defined() ? overflow_ + prepared.scale.found_inf : prepared.scale.found_inf;
    if (stepped_already && prepared.scale.divisor.defined()) {
      for (const Parameter& parameter : optimizer.parameters()) {
        if (parameter.tensor.grad().defined()) parameter.tensor.mutable_grad().div_(prepared.scale.divisor);
      }
    }
    if (device_.is_cpu()) {
      const bool overflow = is_true(prepared.scale.found_inf);
      outcome.finite = !options_.check_finite || (std::isfinite(read(loss)) && (!overflow || scaler_));
      prepared.scale.found_inf.reset();
      if (stepped_already) return outcome;
      if (overflow || !outcome.finite) return outcome;
    } else if (options_.check_finite) {
      const at::Tensor bad_loss = torch::isfinite(loss).logical_not().to(torch::kFloat);
      outcome.not_finite = scaler_ ? bad_loss : (bad_loss + prepared.scale.found_inf);
      prepared.scale.found_inf = (prepared.scale.found_inf + bad_loss).clamp_max(1);
    }
  }
  if (stepped_already || vetoed(context, due.named.name)) return outcome;
  optimizer.step(prepared.scale);
  // Python's scaler reads this too: a schedule must not move on a step that was skipped.
  if (scaler_ && due.named.schedule && is_true(prepared.scale.found_inf)) return outcome;
  count_step(due, context);
  return outcome;
}

bool Update::vetoed(StepContext& context, std::string_view optimizer) {
  if (moments_ == nullptr || !moments_->watched(Moment::optimizer_begin)) return false;
  MomentInfo info{.context = &context, .optimizer = optimizer};
  moments_->tell(Moment::optimizer_begin, trainer_, info);
  return info.veto;
}

void Update::step_schedule(Due due) {
  if (!due.named.schedule || due.named.schedule->cadence() != Cadence::step) return;
  const Position& before = trainer_.position();
  Position after = before;
  after.batch += window_size_;
  ScheduleTime time{.updates = updates_[due.index], .epochs = after.elapsed().epochs};
  if (total_steps_) time.total_updates = (*total_steps_ + due.named.every - 1) / due.named.every;
  time.total_epochs = total_epochs_;
  due.named.schedule->step(*due.named.optimizer, time);
  ScheduleTime last = time;
  last.updates -= 1;
  last.epochs = before.elapsed().epochs;
  const size_t over = due.named.schedule->parts_over(time);
  if (over == 0 || over == due.named.schedule->parts_over(last)) return;
  trainer_.message(due.named.schedule->describe_part(over - 1) + " of " + due.named.name +
                   " is over, the learning rate is " + shortest(due.named.optimizer->lr()));
}

void Update::end_epoch(double epochs) {
  for (size_t i = 0; i < optimizers_.size(); ++i) {
    NamedOptimizer& named = optimizers_[i];
    if (!named.schedule || named.schedule->cadence() != Cadence::epoch) continue;
    named.schedule->step(
        *named.optimizer,
        {.updates = updates_[i], .epochs = epochs, .total_updates = {}, .total_epochs = total_epochs_});
  }
}

void Update::commit(std::string_view loss_name, bool measured) {
  for (const Pending& pending : pending_) {
    pending.record.commit(meter_, pending.output, *pending.batch, loss_name, measured);
    for (const StepRecord::Log& log : pending.record.logs()) {
      if (log.options.per_step) step_logs_.push_back(log);
    }
  }
}

void Update::tell(Moment moment, Batch* batch, StepContext* context, StepOutput* output, std::string_view optimizer) {
  if (moments_ == nullptr || !moments_->watched(moment)) return;
  MomentInfo info{.batch = batch, .context = context, .output = output, .optimizer = optimizer};
  moments_->tell(moment, trainer_, info);
}

int64_t count_samples(std::span<const Batch> window) {
  int64_t samples = 0;
  for (const Batch& batch : window) samples += batch.samples;
  return samples;
}

void Update::state(State& state) {
  for (size_t i = 0; i < optimizers_.size(); ++i) {
    const std::string& name = optimizers_[i].name;
    state.value("updates " + name, updates_[i]);
    if (optimizers_[i].schedule) state.child("schedule " + name, *optimizers_[i].schedule);
  }
  if (scaler_) state.child("scaler", *scaler_);
  state.value("parts", parts_);
}

}  // namespace athanor
