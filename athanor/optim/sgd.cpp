// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/sgd.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_sgd.h>

#include "athanor/optim/fused.hpp"

namespace athanor::optim {
namespace {

const std::string name = "SGD";

void check(const SGDOptions& options) {
  detail::require(options.lr >= 0, name, "lr", options.lr, "0 or more");
  detail::require(options.momentum >= 0, name, "momentum", options.momentum, "0 or more");
  detail::require(options.weight_decay >= 0, name, "weight_decay", options.weight_decay, "0 or more");
  if (options.nesterov) {
    detail::require(options.momentum > 0, name, "momentum", options.momentum, "above 0 with nesterov");
    detail::require(options.dampening == 0, name, "dampening", options.dampening, "0 with nesterov");
  }
}

SGDOptions resolve(SGDOptions options, const GroupOptions& group) {
  if (group.lr) options.lr = *group.lr;
  if (group.weight_decay) options.weight_decay = *group.weight_decay;
  if (group.momentum) options.momentum = *group.momentum;
  detail::refuse_option(group.betas.has_value(), name, "betas");
  detail::refuse_option(group.eps.has_value(), name, "eps");
  check(options);
  return options;
}

class BoundSGD final : public Optimizer {
 public:
  BoundSGD(const ParameterGroups& groups, const SGDOptions& options) : Optimizer(detail::flatten(groups, name)) {
    for (const ParameterGroup& group : groups) {
      Group& bound = groups_.emplace_back();
      bound.options = resolve(options, group.options);
      for (const Parameter& parameter : group.parameters) {
        bound.slots.push_back(
            {parameter, bound.options.momentum != 0 ? detail::make_moment(parameter.tensor) : at::Tensor(), false});
      }
    }
  }

  using Optimizer::step;
  void step() override {
    at::NoGradGuard no_grad;
    for (Group& group : groups_) {
      // The kernel takes the gradient itself as the first momentum; a parameter whose first gradient comes late is in
      // its first step when the others are not.
      step_slots(group, /*first=*/true);
      step_slots(group, /*first=*/false);
      for (Slot& slot : group.slots) slot.started = slot.started || slot.parameter.tensor.grad().defined();
    }
  }

  size_t groups() const override { return groups_.size(); }
  double lr(size_t group) const override { return groups_.at(group).options.lr; }
  void set_lr(size_t group, double lr) override {
    detail::require(lr >= 0, name, "lr", lr, "0 or more");
    groups_.at(group).options.lr = lr;
  }
  std::string describe() const override { return "SGD(lr " + shortest(groups_.front().options.lr) + ")"; }

  void state(State& state) override {
    for (size_t g = 0; g < groups_.size(); ++g) {
      OptionsState options{groups_[g].options};
      state.child("param_groups." + std::to_string(g), options);
      for (Slot& slot : groups_[g].slots) state.child(slot.parameter.name, slot);
    }
  }

 private:
  struct Slot {
    Parameter parameter;
    at::Tensor momentum_buffer;
    bool started;
    void state(State& state) {
      state.tensor("momentum_buffer", momentum_buffer);
      state.value("started", started);
    }
  };

  struct OptionsState {
    SGDOptions& options;
    void state(State& state) {
      state.value("lr", options.lr);
      state.value("momentum", options.momentum);
      state.value("dampening", options.dampening);
      state.value("weight_decay", options.weight_decay);
    }
  };

  struct Group {
    SGDOptions options;
    std::vector<Slot> slots;
  };

  void step_slots(Group& group, bool first) {
    parameters_.clear();
    gradients_.clear();
    buffers_.clear();
    for (const Slot& slot : group.slots) {
      if (slot.started == first) continue;
      const at::Tensor& gradient = detail::checked_gradient(slot.parameter, name);
      if (!gradient.defined()) continue;
      parameters_.push_back(slot.parameter.tensor);
      gradients_.push_back(gradient);
      if (slot.momentum_buffer.defined()) buffers_.push_back(slot.momentum_buffer);
    }
    if (parameters_.empty()) return;
    const SGDOptions& o = group.options;
    at::_fused_sgd_(parameters_, gradients_, buffers_, o.weight_decay, o.momentum, o.lr, o.dampening, o.nesterov,
                    o.maximize, first);
    gradients_.clear();
  }

  std::vector<Group> groups_;
  std::vector<at::Tensor> parameters_, gradients_, buffers_;
};

}  // namespace

SGD::SGD(SGDOptions options) : options_(options) { check(options_); }
std::shared_ptr<Optimizer> SGD::on(ParameterGroups groups) const {
  return std::make_shared<BoundSGD>(groups, options_);
}
std::string SGD::describe() const {
  return "SGD(lr " + shortest(options_.lr) +
         (options_.momentum != 0 ? ", momentum " + shortest(options_.momentum) : "") + ")";
}

}  // namespace athanor::optim
