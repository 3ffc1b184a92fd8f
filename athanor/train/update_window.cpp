// SPDX-License-Identifier: Apache-2.0
// Update: forward and backward over the micro-batches of a window.
#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/random.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/explain.hpp"
#include "athanor/train/layer_sight.hpp"
#include "athanor/train/layer_watch.hpp"
#include "athanor/train/trainer.hpp"
#include "athanor/train/update.hpp"

namespace athanor {

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
  trainer_.message("out of memory at step " + std::to_string(context.step() + 1) +
                       ": from here on each batch is run in " + std::to_string(parts_) +
                       " parts; the effective batch stays the same",
                   events::Message::Level::warning);
  return true;
}

at::Tensor Update::accumulate(std::span<Batch> pieces, StepContext& context, size_t optimizer) {
  const int64_t samples = count_samples(pieces);
  at::Tensor mean;
  for (size_t micro = 0; micro < pieces.size(); ++micro) {
    Batch& batch = pieces[micro];
    const double share = pieces.size() == 1 ? 1.0 : static_cast<double>(batch.samples) / static_cast<double>(samples);
    Pending& pending = pending_.emplace_back();
    pending.batch = &batch;
    try {
      pending.output = forward(batch, context, optimizer, micro, pending);
      trainer_.step_times().lap(StepPhase::forward);
      at::Tensor loss = pending.output.total();
      check_loss(loss, /*trained=*/true);
      tell(Moment::backward_begin, &batch, &context, &pending.output, context.optimizer());
      backward(loss, share, *optimizers_[optimizer].optimizer);
      tell(Moment::backward_end, &batch, &context, &pending.output, context.optimizer());
      trainer_.step_times().lap(StepPhase::backward);
      loss = loss.variable_data();  // detach() is an operator
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
    const auto step = [&] {
      return options_.step ? options_.step(batch, context) : task_.training_step(batch, context);
    };
    output = context.sight_ != nullptr ? context.sight_->watch(step) : step();
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
    for (const Parameter& parameter : optimizer.parameters()) {
      if (parameter.tensor.requires_grad()) reached.push_back(parameter.tensor);  // one may be frozen
    }
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
    if (!parameter.tensor.requires_grad()) continue;
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
