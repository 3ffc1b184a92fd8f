// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/update.hpp"

#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include "athanor/core/error.hpp"
#include "athanor/core/random.hpp"
#include "athanor/train/evaluation.hpp"
#include "athanor/train/explain.hpp"

namespace athanor {

UpdateResult Update::run(std::span<const Batch> window, StepContext& context) {
  UpdateResult result;
  for (const Batch& batch : window) result.samples += batch.samples;

  for (size_t i = 0; i < optimizers_.size(); ++i) {
    const NamedOptimizer& due = optimizers_[i];
    if (context.step() % due.every != 0) continue;
    context.optimizer_ = due.name;
    bool measured = true;  // an optimizer that evaluates again does not count a batch twice
    auto evaluate_window = [&] {
      due.optimizer->zero_grad();
      at::Tensor loss = evaluate(window, context, i, measured);
      measured = false;
      return loss;
    };
    if (due.optimizer->needs_closure()) {
      result.loss = due.optimizer->step(evaluate_window);
    } else {
      result.loss = evaluate_window();
      due.optimizer->step();
    }
  }
  return result;
}

at::Tensor Update::evaluate(std::span<const Batch> window, StepContext& context, size_t optimizer, bool measured) {
  int64_t samples = 0;
  for (const Batch& batch : window) samples += batch.samples;
  at::Tensor mean;
  for (size_t micro = 0; micro < window.size(); ++micro) {
    const Batch& batch = window[micro];
    seed_libtorch(mix({seed_, static_cast<uint64_t>(context.step()), optimizer, micro}));
    context.meter_ = measured ? &meter_ : nullptr;
    context.samples_ = static_cast<double>(batch.samples);
    const double share = window.size() == 1 ? 1.0 : static_cast<double>(batch.samples) / static_cast<double>(samples);
    try {
      const StepOutput output = task_.training_step(batch, context);
      check_loss(output.loss, /*trained=*/true);
      backward(output.loss, share, *optimizers_[optimizer].optimizer);
      if (measured) record(meter_, output, batch);
      at::Tensor loss = output.loss.detach();
      if (window.size() == 1) return loss;
      mean = mean.defined() ? mean + loss * share : loss * share;
    } catch (...) {
      explain_step_failure(batch, context);
    }
  }
  return mean;
}

void Update::backward(const at::Tensor& loss, double share, const Optimizer& optimizer) {
  if (!root_.defined() || root_share_ != share || root_.scalar_type() != loss.scalar_type() ||
      root_.device() != loss.device() || root_.sizes() != loss.sizes()) {
    root_ = torch::full_like(loss.detach(), share);
    root_share_ = share;
  }
  std::vector<at::Tensor> reached;
  if (optimizers_.size() > 1) {
    for (const Parameter& parameter : optimizer.parameters()) reached.push_back(parameter.tensor);
  }
  torch::autograd::backward({loss}, {root_}, /*retain_graph=*/std::nullopt, /*create_graph=*/false, reached);
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
