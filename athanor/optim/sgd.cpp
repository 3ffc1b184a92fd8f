// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/sgd.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_sgd.h>

#include <algorithm>

#include "athanor/optim/fused.hpp"

namespace athanor::optim {
namespace {

constexpr const char* sgd = "SGD";

struct SGDRules {
  using Options = SGDOptions;

  struct Slot {
    at::Tensor momentum_buffer;
    bool started;  ///< Whether the buffer holds a gradient. Only kept with a dampening, see BoundSGD::step.
    void state(State& state) {
      state.tensor("momentum_buffer", momentum_buffer);
      state.value("started", started);
    }
  };

  static Slot make_slot(const SGDOptions& options, const at::Tensor& parameter) {
    return {options.momentum != 0 ? detail::make_moment(parameter) : at::Tensor(), false};
  }

  static void check(const SGDOptions& options, const std::string& name) {
    detail::require(options.lr >= 0, name, "lr", options.lr, "0 or more");
    detail::require(options.momentum >= 0, name, "momentum", options.momentum, "0 or more");
    detail::require(options.weight_decay >= 0, name, "weight_decay", options.weight_decay, "0 or more");
    if (options.nesterov) {
      detail::require(options.momentum > 0, name, "momentum", options.momentum, "above 0 with nesterov");
      detail::require(options.dampening == 0, name, "dampening", options.dampening, "0 with nesterov");
    }
  }

  static void apply(const GroupOptions& group, SGDOptions& options, const std::string& name) {
    detail::refuse_option(group.betas.has_value(), name, "betas");
    detail::refuse_option(group.eps.has_value(), name, "eps");
    options.lr = group.lr.value_or(options.lr);
    options.weight_decay = group.weight_decay.value_or(options.weight_decay);
    options.momentum = group.momentum.value_or(options.momentum);
  }

  static double* field(SGDOptions& options, Optimizer::Field field) {
    switch (field) {
      case Optimizer::Field::lr:
        return &options.lr;
      case Optimizer::Field::momentum:
        return &options.momentum;
      case Optimizer::Field::weight_decay:
        return &options.weight_decay;
    }
    return nullptr;
  }

  static std::string describe(const SGDOptions& options, const std::string& name) {
    return name + "(lr " + shortest(options.lr) +
           (options.momentum != 0 ? ", momentum " + shortest(options.momentum) : "") + ")";
  }

  static void state(SGDOptions& options, State& state) {
    state.value("lr", options.lr);
    state.value("momentum", options.momentum);
    state.value("dampening", options.dampening);
    state.value("weight_decay", options.weight_decay);
    state.value("nesterov", options.nesterov);
    state.value("maximize", options.maximize);
  }
};

class BoundSGD final : public detail::GroupedOptimizer<SGDRules> {
 public:
  BoundSGD(const ParameterGroups& groups, const SGDOptions& options) : GroupedOptimizer(sgd, groups, options) {}

  using Optimizer::step;
  void step(const GradientScale& gradient_scale) override {
    at::NoGradGuard no_grad;
    for (Group& group : groups_) {
      const detail::KernelScale scale = detail::kernel_scale(gradient_scale, group.device(), name_);
      if (scale.skip) continue;
      for (size_t i = 0; i < group.slots.size() && group.options.momentum != 0; ++i) {
        at::Tensor& buffer = group.slots[i].momentum_buffer;
        if (!buffer.defined()) buffer = detail::make_moment(group.parameters[i].tensor);
      }
      // The first momentum is the gradient itself. Without a dampening that is what the sum with a buffer of zeros
      // gives, so it does not matter whether the device has skipped the steps before.
      if (group.options.momentum == 0 || group.options.dampening == 0) {
        step_slots(group, scale, /*first=*/false, [](const SGDRules::Slot&) { return true; });
      } else {
        step_dampened(group, scale);
      }
    }
  }

 private:
  /// A parameter whose first gradient comes late is in its first step when the others are not.
  void step_dampened(Group& group, const detail::KernelScale& scale) {
    const bool all_started =
        std::all_of(group.slots.begin(), group.slots.end(), [](const auto& slot) { return slot.started; });
    if (!all_started && scale.found_inf && scale.found_inf->item<float>() != 0) return;
    for (const bool first : {true, false})
      step_slots(group, scale, first, [&](const SGDRules::Slot& slot) { return slot.started != first; });
    for (size_t i = 0; i < group.slots.size(); ++i) {
      SGDRules::Slot& slot = group.slots[i];
      slot.started = slot.started || group.parameters[i].tensor.grad().defined();
    }
  }

  template <class Takes>
  void step_slots(Group& group, const detail::KernelScale& scale, bool first, Takes takes) {
    parameters_.clear();
    gradients_.clear();
    buffers_.clear();
    const SGDOptions& o = group.options;
    for (size_t i = 0; i < group.slots.size(); ++i) {
      if (!takes(group.slots[i])) continue;
      const at::Tensor& gradient = detail::checked_gradient(group.parameters[i], name_);
      if (!gradient.defined()) continue;
      parameters_.push_back(group.parameters[i].tensor);
      gradients_.push_back(gradient);
      if (o.momentum != 0) buffers_.push_back(group.slots[i].momentum_buffer);
    }
    if (parameters_.empty()) return;
    at::_fused_sgd_(parameters_, gradients_, buffers_, o.weight_decay, o.momentum, o.lr, o.dampening, o.nesterov,
                    o.maximize, first, scale.divisor, scale.found_inf);
    gradients_.clear();
  }

  std::vector<at::Tensor> parameters_, gradients_, buffers_;
};

std::shared_ptr<Optimizer> bind_sgd(const SGDOptions& options, const ParameterGroups& groups) {
  return std::make_shared<BoundSGD>(groups, options);
}

std::string describe_sgd(const SGDOptions& options) { return SGDRules::describe(options, sgd); }

}  // namespace

SGD::SGD(SGDOptions options) : OptionsRecipe(options, bind_sgd, describe_sgd) { SGDRules::check(options, sgd); }

}  // namespace athanor::optim
