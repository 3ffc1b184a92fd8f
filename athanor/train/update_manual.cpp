// SPDX-License-Identifier: Apache-2.0
// Update: steps that use the optimizers themselves.
#include <torch/torch.h>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/explain.hpp"
#include "athanor/train/layer_trace.hpp"
#include "athanor/train/step_times.hpp"
#include "athanor/train/trainer.hpp"
#include "athanor/train/update.hpp"

namespace athanor {

UpdateResult Update::run_manually(std::span<Batch> window, StepContext& context) {
  UpdateResult result{.loss = {}, .samples = count_samples(window)};
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
      trainer_.step_times().lap(StepPhase::forward);
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
  trainer_.step_times().lap(StepPhase::forward);
  backward(loss, 1.0, *optimizers_.front().optimizer, retain_graph);
  trainer_.step_times().lap(StepPhase::backward);
}

void Update::manual_step(std::string_view optimizer, StepContext& context) {
  const Due due = find(optimizer);
  const LayerTrace::Pause no_part_of_a_net;
  context.optimizer_ = due.named.name;
  const Outcome outcome = finish(torch::zeros({}, torch::TensorOptions().device(device_)), due, context, false);
  manual_.finite = manual_.finite && outcome.finite;
  manual_.gradient_norm = outcome.gradient_norm;
  if (outcome.not_finite.defined()) manual_.not_finite = outcome.not_finite;
  due.named.optimizer->zero_grad();
  trainer_.step_times().lap(StepPhase::optimizer);
}

void Update::manual_zero_grad(std::string_view optimizer) { find(optimizer).named.optimizer->zero_grad(); }

}  // namespace athanor
