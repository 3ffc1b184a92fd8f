// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/adam.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include "athanor/optim/fused.hpp"

namespace athanor::optim {
namespace {

struct AdamRules {
  using Options = AdamOptions;

  struct Slot {
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

  static Slot make_slot(const AdamOptions& options, const at::Tensor& parameter) {
    return {detail::make_moment(parameter), detail::make_moment(parameter),
            options.amsgrad ? detail::make_moment(parameter) : at::Tensor(), detail::make_step_counter(parameter)};
  }

  static void check(const AdamOptions& options, const std::string& name) {
    detail::require(options.lr >= 0, name, "lr", options.lr, "0 or more");
    detail::require(options.eps >= 0, name, "eps", options.eps, "0 or more");
    detail::require(options.weight_decay >= 0, name, "weight_decay", options.weight_decay, "0 or more");
    for (double beta : options.betas) detail::require(beta >= 0 && beta < 1, name, "betas", beta, "from 0 to below 1");
  }

  static void apply(const GroupOptions& group, AdamOptions& options, const std::string& name) {
    detail::refuse_option(group.momentum.has_value(), name, "momentum");
    options.lr = group.lr.value_or(options.lr);
    options.weight_decay = group.weight_decay.value_or(options.weight_decay);
    options.betas = group.betas.value_or(options.betas);
    options.eps = group.eps.value_or(options.eps);
  }

  static double* field(AdamOptions& options, Optimizer::Field field) {
    switch (field) {
      case Optimizer::Field::lr:
        return &options.lr;
      case Optimizer::Field::momentum:
        return &options.betas[0];
      case Optimizer::Field::weight_decay:
        return &options.weight_decay;
    }
    return nullptr;
  }

  static std::string describe(const AdamOptions& options, const std::string& name) {
    return name + "(lr " + shortest(options.lr) + ")";
  }

  static void state(AdamOptions& options, State& state) {
    state.value("lr", options.lr);
    state.value("beta1", options.betas[0]);
    state.value("beta2", options.betas[1]);
    state.value("eps", options.eps);
    state.value("weight_decay", options.weight_decay);
    bool amsgrad = options.amsgrad;  // what the slots are made for; loading does not change it
    state.value("amsgrad", amsgrad);
    state.value("maximize", options.maximize);
  }
};

using Kernel = void(at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList,
                    double, double, double, double, double, bool, bool, const std::optional<at::Tensor>&,
                    const std::optional<at::Tensor>&);

class BoundAdam final : public detail::GroupedOptimizer<AdamRules> {
 public:
  BoundAdam(std::string name, Kernel& kernel, const ParameterGroups& groups, const AdamOptions& options)
      : GroupedOptimizer(std::move(name), groups, options), kernel_(kernel) {}

  using Optimizer::step;
  void step(const GradientScale& gradient_scale) override {
    at::NoGradGuard no_grad;
    for (Group& group : groups_) {
      const detail::KernelScale scale = detail::kernel_scale(gradient_scale, group.device(), name_);
      if (scale.skip) continue;
      lists_.clear();
      for (size_t i = 0; i < group.parameters.size(); ++i) {
        const at::Tensor& gradient = detail::checked_gradient(group.parameters[i], name_);
        if (gradient.defined()) lists_.add(group.parameters[i].tensor, gradient, group.slots[i]);
      }
      if (lists_.parameters.empty()) continue;
      detail::count_steps(lists_.steps, scale);
      const AdamOptions& o = group.options;
      kernel_(lists_.parameters, lists_.gradients, lists_.exp_avgs, lists_.exp_avg_sqs, lists_.max_exp_avg_sqs,
              lists_.steps, o.lr, o.betas[0], o.betas[1], o.weight_decay, o.eps, o.amsgrad, o.maximize, scale.divisor,
              scale.found_inf);
    }
    lists_.clear();
  }

 private:
  struct Lists {
    std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps;
    void add(const at::Tensor& parameter, const at::Tensor& gradient, const AdamRules::Slot& slot) {
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

  Kernel& kernel_;
  Lists lists_;
};

AdamOptions as_adam(const AdamWOptions& o) {
  return {.lr = o.lr,
          .betas = o.betas,
          .eps = o.eps,
          .weight_decay = o.weight_decay,
          .amsgrad = o.amsgrad,
          .maximize = o.maximize};
}

constexpr const char* adam = "Adam";
constexpr const char* adamw = "AdamW";

std::shared_ptr<Optimizer> bind_adam(const AdamOptions& options, const ParameterGroups& groups) {
  return std::make_shared<BoundAdam>(adam, static_cast<Kernel&>(at::_fused_adam_), groups, options);
}
std::shared_ptr<Optimizer> bind_adamw(const AdamWOptions& options, const ParameterGroups& groups) {
  return std::make_shared<BoundAdam>(adamw, static_cast<Kernel&>(at::_fused_adamw_), groups, as_adam(options));
}

std::string describe_adam(const AdamOptions& options) { return AdamRules::describe(options, adam); }
std::string describe_adamw(const AdamWOptions& options) { return AdamRules::describe(as_adam(options), adamw); }

}  // namespace

Adam::Adam(AdamOptions options) : OptionsRecipe(options, bind_adam, describe_adam) { AdamRules::check(options, adam); }

AdamW::AdamW(AdamWOptions options) : OptionsRecipe(options, bind_adamw, describe_adamw) {
  AdamRules::check(as_adam(options), adamw);
}

}  // namespace athanor::optim
