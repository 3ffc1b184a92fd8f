// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/sgd.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_fused_sgd.h>

#include <algorithm>

#include "athanor/optim/elementwise.hpp"
#include "athanor/optim/sparse_rows.hpp"

namespace athanor::optim {
namespace {

struct SGDRules {
  static constexpr const char* name = "SGD";
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

  template <class Visitor>
  static void walk(SGDOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("momentum", o.momentum, &GroupOptions::momentum, detail::zero_or_more);
    visit("dampening", o.dampening, &GroupOptions::dampening, detail::any_number);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("nesterov", o.nesterov, &GroupOptions::nesterov);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  static void check_together(const SGDOptions& options, const std::string& optimizer) {
    if (!options.nesterov) return;
    detail::require(options.momentum > 0, optimizer, "momentum", options.momentum, "above 0 with nesterov");
    detail::require(options.dampening == 0, optimizer, "dampening", options.dampening, "0 with nesterov");
  }

  static std::string describe_more(const SGDOptions& options) {
    return options.momentum != 0 ? ", momentum " + shortest(options.momentum) : "";
  }
};

struct SGDLists {
  std::vector<at::Tensor> parameters, gradients, buffers;
  void clear() {
    for (auto* list : {&parameters, &gradients, &buffers}) list->clear();
  }
};

class BoundSGD final : public detail::GroupedOptimizer<SGDRules> {
 public:
  BoundSGD(const SGDOptions& options, const ParameterGroups& groups) : GroupedOptimizer(options, groups) {}

  using Optimizer::step;
  void step(const GradientScale& gradient_scale) override {
    at::NoGradGuard no_grad;
    for (Group& group : groups_) {
      const detail::KernelScale scale = detail::kernel_scale(gradient_scale, group.device(), name_);
      if (scale.skip) continue;
      step_sparse(group, scale);
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
  /// Sparse gradients are added to the rows that they name. Momentum and decay would reach all others too.
  void step_sparse(Group& group, const detail::KernelScale& scale) {
    for (const Parameter& parameter : group.parameters) {
      if (!detail::has_sparse_gradient(parameter)) continue;
      const SGDOptions& o = group.options;
      if (o.momentum != 0 || o.weight_decay != 0) {
        throw Error({.what = "SGD takes a sparse gradient without momentum and weight decay only",
                     .where = name_ + ", " + parameter.name,
                     .got = "momentum " + shortest(o.momentum) + ", weight_decay " + shortest(o.weight_decay),
                     .todo = "put this parameter into a group with neither, or make the embedding with sparse(false)"});
      }
      if (scale.found_inf && scale.found_inf->item<float>() != 0) continue;
      const at::Tensor gradient = detail::coalesced_gradient(parameter, name_);
      if (scale.divisor) detail::divide_values(gradient, *scale.divisor);
      read_lr(group);
      parameter.tensor.add_(gradient, o.maximize ? o.lr : -o.lr);
    }
  }

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
    for (SGDLists* lists : {&fused_, &others_}) lists->clear();
    for (size_t i = 0; i < group.slots.size(); ++i) {
      if (!takes(group.slots[i]) || detail::has_sparse_gradient(group.parameters[i])) continue;
      const at::Tensor& gradient = detail::checked_gradient(group.parameters[i], name_);
      if (!gradient.defined()) continue;
      const at::Tensor& parameter = group.parameters[i].tensor;
      SGDLists& lists = has_fused_kernel(parameter) ? fused_ : others_;
      lists.parameters.push_back(parameter);
      lists.gradients.push_back(gradient);
      if (group.options.momentum != 0) lists.buffers.push_back(group.slots[i].momentum_buffer);
    }
    if (!fused_.parameters.empty()) step_fused(group, scale, first);
    if (!others_.parameters.empty()) step_by_operators(group, scale, first);
    for (SGDLists* lists : {&fused_, &others_}) lists->gradients.clear();
  }

  /// LibTorch's kernel for 16 bits on a CPU (up to 2.13) stores no weights, and reads momenta as if they had 32 bits.
  static bool has_fused_kernel(const at::Tensor& parameter) {
    const at::ScalarType dtype = parameter.scalar_type();
    return !parameter.is_cpu() || dtype == at::kFloat || dtype == at::kDouble;
  }

  void step_fused(const Group& group, const detail::KernelScale& scale, bool first) const {
    const SGDOptions& o = group.options;
    const auto run = [&](const auto& lr) {
      at::_fused_sgd_(fused_.parameters, fused_.gradients, fused_.buffers, o.weight_decay, o.momentum, lr, o.dampening,
                      o.nesterov, o.maximize, first, scale.divisor, scale.found_inf);
    };
    group.lr.defined() ? run(group.lr) : run(o.lr);
    detail::tell_graphs(fused_.parameters, fused_.gradients, scale);
  }

  void step_by_operators(Group& group, const detail::KernelScale& scale, bool first) {
    read_lr(group);
    const SGDOptions& o = group.options;
    if (scale.divisor) detail::divide_gradients(others_.gradients, *scale.divisor);
    std::vector<at::Tensor> updates = others_.gradients;
    if (o.maximize) updates = at::_foreach_neg(updates);
    if (o.weight_decay != 0) updates = at::_foreach_add(updates, others_.parameters, o.weight_decay);
    if (o.momentum != 0) {
      if (first) {
        at::_foreach_copy_(others_.buffers, updates);
      } else {
        detail::scale_all(others_.buffers, o.momentum);
        at::_foreach_add_(others_.buffers, updates, 1 - o.dampening);
      }
      updates = o.nesterov ? at::_foreach_add(updates, others_.buffers, o.momentum) : others_.buffers;
    }
    at::_foreach_add_(others_.parameters, updates, -o.lr);
  }

  SGDLists fused_, others_;
};

}  // namespace

SGD::SGD(SGDOptions options)
    : OptionsRecipe(detail::checked_options<SGDRules>(options), detail::bind_optimizer<BoundSGD>,
                    detail::describe_recipe<BoundSGD>) {}

}  // namespace athanor::optim
