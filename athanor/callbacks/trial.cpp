// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/trial.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <mutex>

#include "athanor/core/state.hpp"

namespace athanor {
namespace {

void visit_modules(const std::shared_ptr<torch::nn::Module>& module, const auto& visit) {
  visit(module);
  for (const auto& child : module->children()) visit_modules(child, visit);
}

/// Without its children, unlike train().
void set_mode_alone(const std::shared_ptr<torch::nn::Module>& module, bool training) {
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> below;
  for (const auto& child : module->children()) {
    visit_modules(child, [&](const auto& each) { below.emplace_back(each, each->is_training()); });
  }
  module->train(training);
  for (const auto& [child, mode] : below) {
    if (child->is_training() != mode) set_mode_alone(child, mode);
  }
}

}  // namespace

Trial::Trial(Task& task) : task_(task) {
  NetsState nets(task.nets());
  nets_ = save_state(nets);
  own_ = save_state(task).map([](const at::Tensor& tensor) { return tensor.defined() ? tensor.clone() : tensor; });
  for (const NamedNet& net : task.nets()) {
    visit_modules(net.module, [&](const auto& module) { modes_.push_back({module, module->is_training()}); });
    for (const torch::Tensor& parameter : net.module->parameters()) {
      const torch::Tensor& gradient = parameter.grad();
      gradients_.push_back({parameter, gradient.defined() ? gradient.clone() : gradient, parameter.requires_grad()});
    }
  }
  auto generator = at::detail::getDefaultCPUGenerator();
  const std::scoped_lock lock(generator.mutex());
  generator_ = generator.get_state();
}

Trial::~Trial() { rewind(); }

void Trial::rewind() {
  NetsState nets(task_.nets());
  load_state(nets, nets_);
  load_state(task_, own_);
  // Outer modules first: setting the mode of one alone leaves those below it as they are.
  for (const Mode& mode : modes_) {
    if (mode.module->is_training() != mode.training) set_mode_alone(mode.module, mode.training);
  }
  for (const Gradient& each : gradients_) {
    at::Tensor parameter = each.parameter;
    parameter.requires_grad_(each.required);
    parameter.mutable_grad() = each.gradient.defined() ? each.gradient.clone() : at::Tensor();
  }
  auto generator = at::detail::getDefaultCPUGenerator();
  const std::scoped_lock lock(generator.mutex());
  generator.set_state(generator_);
}

}  // namespace athanor
