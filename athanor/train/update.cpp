// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/update.hpp"

#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/random.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/explain.hpp"
#include "athanor/train/layer_watch.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {
namespace {

int64_t count(std::span<const Batch> window) {
  int64_t samples = 0;
  for (const Batch& batch : window) samples += batch.samples;
  return samples;
}

bool is_true(const at::Tensor& flag) { return flag.defined() && flag.item<double>() != 0; }

}  // namespace

Update::Update(Trainer& trainer, Task& task, Optimizers& optimizers, Meter& meter, at::Device device)
    : trainer_(trainer),
      task_(task),
      optimizers_(optimizers),
      meter_(meter),
      device_(device),
      buffers_(task.nets()),
      updates_(optimizers.size()) {}

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
      optimizers_[i].schedule->begin(*optimizers_[i].optimizer);
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
      run = static_cast<double>((*total_steps_ + named.every - 1) / named.every);
    }
    if (!run || *run == length->count()) continue;
    const std::string unit = length->unit() == Duration::Unit::epochs ? " epochs" : " steps";
    texts.push_back("the schedule of " + named.name + ", " + named.schedule->describe() + ", is " + length->describe() +
                    " long and the run " + shortest(*run) + unit +
                    (*run < length->count() ? ": it will not come to its end" : ": its last value stays after that"));
  }
  return texts;
}

UpdateResult Update::run(std::span<Batch> window, StepContext& context) {
  UpdateResult result;
  result.samples = count(window);
  window_size_ = static_cast<int64_t>(window.size());
  if (options_.check_finite) buffers_.keep();
  overflow_.reset();
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
    bool first = true;  // an optimizer that evaluates again does not count a batch twice
    at::Tensor loss = optimizer.step([&] {
      at::Tensor evaluated = evaluate(window, context, due.index);
      Outcome latest = finish(evaluated, due, context, /*stepped_already=*/true);
      if (std::exchange(first, false)) {
        outcome = std::move(latest);
        if (outcome.finite) commit(loss_name, measured);
      }
      pending_.clear();
      return evaluated;
    });
    outcome.loss = std::move(loss);
    return outcome;
  }
  outcome = finish(evaluate(window, context, due.index), due, context, /*stepped_already=*/false);
  if (outcome.finite) commit(loss_name, measured);
  pending_.clear();
  return outcome;
}

/// Everything between the gradients and the end of the step.
Update::Outcome Update::finish(const at::Tensor& loss, Due due, StepContext& context, bool stepped_already) {
  Optimizer& optimizer = *due.named.optimizer;
  const auto& clip = due.named.clip ? due.named.clip : options_.clip;
  Outcome outcome;
  outcome.loss = loss;
  PreparedStep prepared;
  if (clip || scaler_ || options_.check_finite) {
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
      outcome.finite = !options_.check_finite || (std::isfinite(loss.item<double>()) && (!overflow || scaler_));
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
  updates_[due.index] += 1;
  step_schedule(due);
  tell(Moment::optimizer_end, nullptr, &context, nullptr, due.named.name);
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
  Position after = trainer_.position();
  after.batch += window_size_;
  ScheduleTime time{.updates = updates_[due.index], .epochs = after.elapsed().epochs};
  if (total_steps_) time.total_updates = (*total_steps_ + due.named.every - 1) / due.named.every;
  time.total_epochs = total_epochs_;
  due.named.schedule->step(*due.named.optimizer, time);
}

void Update::end_epoch(double epochs) {
  for (size_t i = 0; i < optimizers_.size(); ++i) {
    NamedOptimizer& named = optimizers_[i];
    if (!named.schedule || named.schedule->cadence() != Cadence::epoch) continue;
    named.schedule->step(*named.optimizer,
                         {.updates = updates_[i], .epochs = epochs, .total_updates = {}, .total_epochs = total_epochs_});
  }
}

at::Tensor Update::evaluate(std::span<Batch> window, StepContext& context, size_t optimizer) {
  for (;;) {
    try {
      optimizers_[optimizer].optimizer->zero_grad();
      pending_.clear();
      at::Tensor loss;
      if (parts_ == 1) {
        loss = accumulate(window, context, optimizer);
      } else {
        pieces_.clear();
        for (const Batch& batch : window) {
          const int64_t size = count_samples(batch);
          const int64_t parts = std::min(parts_, std::max<int64_t>(size, 1));
          for (int64_t part = 0; part < parts; ++part) {
            pieces_.push_back(batch.slice(size * part / parts, size * (part + 1) / parts));
          }
        }
        loss = accumulate(pieces_, context, optimizer);
      }
      if (!options_.penalties.empty()) add_penalties(*optimizers_[optimizer].optimizer);
      return loss;
    } catch (...) {
      pending_.clear();
      if (!is_out_of_memory(std::current_exception()) || !split_further(window, context)) throw;
      buffers_.restore();
    }
  }
}

bool Update::split_further(std::span<Batch> window, const StepContext& context) {
  if (!options_.split_when_out_of_memory) return false;
  int64_t largest = 0;
  for (const Batch& batch : window) largest = std::max(largest, count_samples(batch));
  if (parts_ >= largest) return false;
  parts_ = std::min(parts_ * 2, largest);
  trainer_.message("out of memory at step " + std::to_string(context.step() + 1) + ": from here on each batch is run in " +
                       std::to_string(parts_) + " parts; the effective batch stays the same",
                   events::Message::Level::warning);
  return true;
}

at::Tensor Update::accumulate(std::span<Batch> pieces, StepContext& context, size_t optimizer) {
  const int64_t samples = count(pieces);
  at::Tensor mean;
  for (size_t micro = 0; micro < pieces.size(); ++micro) {
    Batch& batch = pieces[micro];
    const double share =
        pieces.size() == 1 ? 1.0 : static_cast<double>(batch.samples) / static_cast<double>(samples);
    Pending& pending = pending_.emplace_back();
    pending.batch = &batch;
    try {
      pending.output = forward(batch, context, optimizer, micro, pending);
      at::Tensor loss = pending.output.total();
      check_loss(loss, /*trained=*/true);
      tell(Moment::backward_begin, &batch, &context, &pending.output, context.optimizer());
      backward(loss, share, *optimizers_[optimizer].optimizer);
      tell(Moment::backward_end, &batch, &context, &pending.output, context.optimizer());
      loss = loss.detach();
      if (pieces.size() == 1) return loss;
      mean = mean.defined() ? mean + loss * share : loss * share;
    } catch (...) {
      if (is_out_of_memory(std::current_exception())) throw;
      explain_step_failure(batch, context);
    }
  }
  return mean;
}

StepOutput Update::forward(Batch& batch, StepContext& context, size_t optimizer, size_t micro, Pending& pending) {
  seed_libtorch(mix({options_.seed, static_cast<uint64_t>(context.step()), optimizer, micro}));
  pending.record.begin(static_cast<double>(batch.samples));
  context.record_ = &pending.record;
  tell(Moment::forward_begin, &batch, &context, nullptr, context.optimizer());
  StepOutput output;
  {
    const AutocastGuard autocast(options_.precision, device_.type());
    output = options_.step ? options_.step(batch, context) : task_.training_step(batch, context);
  }
  tell(Moment::forward_end, &batch, &context, &output, context.optimizer());
  return output;
}

void Update::backward(const at::Tensor& loss, double share, const Optimizer& optimizer, bool retain_graph) {
  if (!root_.defined() || root_share_ != share || root_.scalar_type() != loss.scalar_type() ||
      root_.device() != loss.device() || root_.sizes() != loss.sizes()) {
    root_ = torch::full_like(loss.detach(), share);
    root_share_ = share;
  }
  std::vector<at::Tensor> reached;
  if (optimizers_.size() > 1 && !task_.manual_optimization()) {
    for (const Parameter& parameter : optimizer.parameters()) reached.push_back(parameter.tensor);
  }
  const at::Tensor root = scaler_ ? (root_ * scaler_->scale().to(root_.scalar_type())) : root_;
  torch::autograd::backward({loss}, {root}, /*retain_graph=*/retain_graph, /*create_graph=*/false, reached);
}

void Update::gradients_only(Batch batch, const std::string& optimizer) {
  const Due due = find(optimizer);
  StepContext context(Stage::train, 1, 0, 0);
  context.optimizer_ = due.named.name;
  accumulate({&batch, 1}, context, due.index);
  pending_.clear();
}

std::string Update::find_layer(std::vector<Batch> window, const StepContext& context) {
  StepContext again(Stage::train, context.epoch(), context.step(), context.batch());
  again.loader_ = context.loader_;
  const LayerWatch watch(named_tensors(task_.nets()));
  for (size_t i = 0; i < optimizers_.size() && !task_.manual_optimization(); ++i) {
    if (context.step() % optimizers_[i].every != 0) continue;
    again.optimizer_ = optimizers_[i].name;
    accumulate(window, again, i);
    pending_.clear();
    optimizers_[i].optimizer->zero_grad();
  }
  buffers_.restore();
  return watch.finding() ? watch.describe() : std::string();
}

void Update::add_penalties(const Optimizer& optimizer) {
  at::Tensor sum;
  std::vector<at::Tensor> reached;
  for (const Parameter& parameter : optimizer.parameters()) {
    for (const Penalty& penalty : options_.penalties) {
      if (!matches(penalty.pattern, parameter.name)) continue;
      at::Tensor own;
      if (penalty.l1 > 0) own = parameter.tensor.abs().sum() * penalty.l1;
      if (penalty.l2 > 0) {
        const at::Tensor squares = parameter.tensor.pow(2).sum() * penalty.l2;
        own = own.defined() ? own + squares : squares;
      }
      if (!own.defined()) continue;
      sum = sum.defined() ? sum + own : own;
      reached.push_back(parameter.tensor);
    }
  }
  if (!sum.defined()) return;
  const at::Tensor root = scaler_ ? scaler_->scale().to(sum.scalar_type()) : torch::ones_like(sum);
  torch::autograd::backward({sum}, {root.expand_as(sum)}, /*retain_graph=*/false, /*create_graph=*/false, reached);
  if (!pending_.empty()) pending_.front().record.log("penalty", sum.detach(), {});
}

void Update::commit(std::string_view loss_name, bool measured) {
  for (const Pending& pending : pending_) {
    pending.record.commit(meter_, pending.output, *pending.batch, loss_name, measured);
  }
}

UpdateResult Update::run_manually(std::span<Batch> window, StepContext& context) {
  UpdateResult result{.loss = {}, .samples = count(window)};
  at::Tensor mean;
  manual_ = {};
  context.update_ = this;
  pending_.clear();
  for (size_t micro = 0; micro < window.size(); ++micro) {
    Batch& batch = window[micro];
    Pending& pending = pending_.emplace_back();
    pending.batch = &batch;
    try {
      pending.output = forward(batch, context, 0, micro, pending);
    } catch (...) {
      context.update_ = nullptr;
      explain_step_failure(batch, context);
    }
    if (at::Tensor loss = pending.output.total(); loss.defined()) {
      loss = loss.detach() * (static_cast<double>(batch.samples) / static_cast<double>(result.samples));
      mean = mean.defined() ? mean + loss : loss;
    }
  }
  context.update_ = nullptr;
  commit("loss", true);
  pending_.clear();
  result.loss = mean;
  result.finite = manual_.finite;
  result.not_finite = manual_.not_finite;
  result.gradient_norm = manual_.gradient_norm;
  return result;
}

Update::Due Update::find(std::string_view optimizer) {
  for (size_t i = 0; i < optimizers_.size(); ++i) {
    if (optimizers_[i].name == optimizer || (optimizer.empty() && optimizers_.size() == 1)) return {i, optimizers_[i]};
  }
  std::vector<std::string> names;
  for (const NamedOptimizer& named : optimizers_) names.push_back(named.name);
  throw Error({.what = "there is no optimizer of this name",
               .where = "manual optimization",
               .got = optimizer.empty() ? "no name, and several optimizers" : std::string(optimizer),
               .expected = "one of " + join(names, ", ")});
}

void Update::manual_backward(const at::Tensor& loss, bool retain_graph) {
  check_loss(loss, /*trained=*/true);
  backward(loss, 1.0, *optimizers_.front().optimizer, retain_graph);
}

void Update::manual_step(std::string_view optimizer, StepContext& context) {
  const Due due = find(optimizer);
  context.optimizer_ = due.named.name;
  const Outcome outcome = finish(torch::zeros({}, torch::TensorOptions().device(device_)), due, context, false);
  manual_.finite = manual_.finite && outcome.finite;
  manual_.gradient_norm = outcome.gradient_norm;
  if (outcome.not_finite.defined()) manual_.not_finite = outcome.not_finite;
  due.named.optimizer->zero_grad();
}

void Update::manual_zero_grad(std::string_view optimizer) { find(optimizer).named.optimizer->zero_grad(); }

void Update::tell(Moment moment, Batch* batch, StepContext* context, const StepOutput* output,
                  std::string_view optimizer) {
  if (moments_ == nullptr || !moments_->watched(moment)) return;
  MomentInfo info{.batch = batch, .context = context, .output = output, .optimizer = optimizer};
  moments_->tell(moment, trainer_, info);
}

void Update::report_hyperparameters(Values& values) const {
  static constexpr std::pair<Optimizer::Field, const char*> fields[] = {{Optimizer::Field::lr, "lr"},
                                                                        {Optimizer::Field::momentum, "momentum"},
                                                                        {Optimizer::Field::weight_decay,
                                                                         "weight_decay"}};
  for (const auto& [field, field_name] : fields) {
    for (const NamedOptimizer& named : optimizers_) {
      for (size_t group = 0; group < named.optimizer->groups(); ++group) {
        const std::optional<double> value = named.optimizer->get(field, group);
        if (!value) continue;
        std::string name = field_name;
        if (optimizers_.size() > 1) name += "_" + named.name;
        if (named.optimizer->groups() > 1) name += "_" + std::to_string(group);
        values.set(name, *value);
      }
    }
  }
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

void check_loss(const at::Tensor& loss, bool trained) {
  if (loss.defined() && loss.numel() == 1 && at::isFloatingType(loss.scalar_type()) &&
      (!trained || loss.requires_grad())) {
    return;
  }
  if (loss.defined() && trained && !loss.requires_grad()) {
    throw Error({.what = "the loss has no graph, so nothing can be learnt from it",
                 .got = describe(loss) + " without a gradient function",
                 .todo = "compute it from the output of the net, without detach(), item() or NoGradGuard; and see that "
                         "some parameter requires a gradient"});
  }
  throw Error({.what = "the loss is not a scalar",
               .got = describe(loss),
               .expected = "one floating-point number: the mean over the samples of the batch",
               .todo = "end it with .mean()"});
}

}  // namespace athanor
