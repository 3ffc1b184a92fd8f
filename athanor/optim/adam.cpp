// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/adam.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include "athanor/optim/grouped.hpp"

namespace athanor::optim {
namespace {

struct AdamKernel {
  static constexpr const char* name = "Adam";
  using Options = AdamOptions;
  template <class... Arguments>
  static void run(const AdamOptions& options, const Arguments&... arguments) {
    options.decoupled_weight_decay ? at::_fused_adamw_(arguments...) : at::_fused_adam_(arguments...);
  }
};

struct AdamWKernel {
  static constexpr const char* name = "AdamW";
  using Options = AdamWOptions;
  template <class... Arguments>
  static void run(const AdamWOptions&, const Arguments&... arguments) {
    at::_fused_adamw_(arguments...);
  }
};

struct AdamSlot {
  at::Tensor exp_avg;
  at::Tensor exp_avg_sq;
  at::Tensor max_exp_avg_sq;
  at::Tensor step;
  void state(State& state) {
    state.tensor("step", step);
    state.tensor("exp_avg", exp_avg);
    state.tensor("exp_avg_sq", exp_avg_sq);
    if (max_exp_avg_sq.defined()) state.tensor("max_exp_avg_sq", max_exp_avg_sq);
  }
};

template <class Kernel>
struct AdamRules {
  static constexpr const char* name = Kernel::name;
  using Options = typename Kernel::Options;
  using Slot = AdamSlot;

  template <class Visitor>
  static void walk(Options& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("betas", o.betas, &GroupOptions::betas, detail::below_one);
    visit("eps", o.eps, &GroupOptions::eps, detail::zero_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("amsgrad", o.amsgrad, &GroupOptions::amsgrad);
    visit("maximize", o.maximize, &GroupOptions::maximize);
    if constexpr (requires { o.decoupled_weight_decay; })
      visit("decoupled_weight_decay", o.decoupled_weight_decay, &GroupOptions::decoupled_weight_decay);
  }

  static Slot make_slot(const Options& options, const at::Tensor& parameter) {
    return {detail::make_moment(parameter), detail::make_moment(parameter),
            options.amsgrad ? detail::make_moment(parameter) : at::Tensor(), detail::make_step_counter(parameter)};
  }
};

struct AdamLists {
  std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps;
  void add(const at::Tensor& parameter, const at::Tensor& gradient, const AdamSlot& slot) {
    parameters.push_back(parameter);
    gradients.push_back(gradient);
    exp_avgs.push_back(slot.exp_avg);
    exp_avg_sqs.push_back(slot.exp_avg_sq);
    if (slot.max_exp_avg_sq.defined()) max_exp_avg_sqs.push_back(slot.max_exp_avg_sq);
    steps.push_back(slot.step);
  }
  void clear() {
    for (auto* list : {&parameters, &gradients, &exp_avgs, &exp_avg_sqs, &max_exp_avg_sqs, &steps}) list->clear();
  }
};

template <class Kernel>
class BoundAdam final : public detail::GroupedOptimizer<AdamRules<Kernel>> {
  using Base = detail::GroupedOptimizer<AdamRules<Kernel>>;

 public:
  BoundAdam(const typename Kernel::Options& options, const ParameterGroups& groups) : Base(options, groups) {}

  using Optimizer::step;
  void step(const GradientScale& gradient_scale) override {
    at::NoGradGuard no_grad;
    for (auto& group : this->groups_) {
      const detail::KernelScale scale = detail::kernel_scale(gradient_scale, group.device(), this->name_);
      if (scale.skip) continue;
      lists_.clear();
      for (size_t i = 0; i < group.parameters.size(); ++i) {
        const at::Tensor& gradient = detail::checked_gradient(group.parameters[i], this->name_);
        if (gradient.defined()) lists_.add(group.parameters[i].tensor, gradient, group.slots[i]);
      }
      if (lists_.parameters.empty()) continue;
      detail::count_steps(lists_.steps, scale);
      const auto& o = group.options;
      const auto run = [&](const auto& lr) {
        Kernel::run(o, lists_.parameters, lists_.gradients, lists_.exp_avgs, lists_.exp_avg_sqs, lists_.max_exp_avg_sqs,
                    lists_.steps, lr, o.betas[0], o.betas[1], o.weight_decay, o.eps, o.amsgrad, o.maximize,
                    scale.divisor, scale.found_inf);
      };
      group.lr.defined() ? run(group.lr) : run(o.lr);
      detail::tell_graphs(lists_.parameters, lists_.gradients, scale);
    }
    lists_.clear();
  }

 private:
  AdamLists lists_;
};

using BoundPlainAdam = BoundAdam<AdamKernel>;
using BoundAdamW = BoundAdam<AdamWKernel>;

}  // namespace

Adam::Adam(AdamOptions options)
    : OptionsRecipe(detail::checked_options<AdamRules<AdamKernel>>(options), detail::bind_optimizer<BoundPlainAdam>,
                    detail::describe_recipe<BoundPlainAdam>) {}

AdamW::AdamW(AdamWOptions options)
    : OptionsRecipe(detail::checked_options<AdamRules<AdamWKernel>>(options), detail::bind_optimizer<BoundAdamW>,
                    detail::describe_recipe<BoundAdamW>) {}

}  // namespace athanor::optim
