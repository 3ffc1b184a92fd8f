// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/adam.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include "athanor/optim/fused.hpp"

namespace athanor::optim {
namespace {

enum class Decay { on_gradient, on_weights };

const char* name_of(Decay decay) { return decay == Decay::on_gradient ? "Adam" : "AdamW"; }

void check(const AdamOptions& options, const std::string& name) {
  detail::require(options.lr >= 0, name, "lr", options.lr, "0 or more");
  detail::require(options.eps >= 0, name, "eps", options.eps, "0 or more");
  detail::require(options.weight_decay >= 0, name, "weight_decay", options.weight_decay, "0 or more");
  for (double beta : options.betas) detail::require(beta >= 0 && beta < 1, name, "betas", beta, "from 0 to below 1");
}

AdamOptions resolve(AdamOptions options, const GroupOptions& group, const std::string& name) {
  if (group.lr) options.lr = *group.lr;
  if (group.weight_decay) options.weight_decay = *group.weight_decay;
  if (group.betas) options.betas = *group.betas;
  if (group.eps) options.eps = *group.eps;
  detail::refuse_option(group.momentum.has_value(), name, "momentum");
  check(options, name);
  return options;
}

class BoundAdam final : public Optimizer {
 public:
  BoundAdam(const ParameterGroups& groups, const AdamOptions& options, Decay decay)
      : Optimizer(detail::flatten(groups, name_of(decay))), decay_(decay) {
    for (const ParameterGroup& group : groups) {
      Group& bound = groups_.emplace_back();
      bound.options = resolve(options, group.options, name_of(decay));
      bound.parameters = group.parameters;
      for (const Parameter& parameter : group.parameters) {
        bound.states.push_back({detail::make_moment(parameter.tensor), detail::make_moment(parameter.tensor),
                                options.amsgrad ? detail::make_moment(parameter.tensor) : at::Tensor(),
                                detail::make_step_counter(parameter.tensor)});
      }
    }
  }

  using Optimizer::step;
  void step() override {
    at::NoGradGuard no_grad;
    for (Group& group : groups_) {
      lists_.clear();
      for (size_t i = 0; i < group.parameters.size(); ++i) {
        const at::Tensor& gradient = detail::checked_gradient(group.parameters[i], name_of(decay_));
        if (gradient.defined()) lists_.add(group.parameters[i].tensor, gradient, group.states[i]);
      }
      if (lists_.parameters.empty()) continue;
      detail::count_steps(lists_.steps);
      const AdamOptions& o = group.options;
      auto kernel = decay_ == Decay::on_gradient ? static_cast<Kernel*>(&at::_fused_adam_)
                                                 : static_cast<Kernel*>(&at::_fused_adamw_);
      kernel(lists_.parameters, lists_.gradients, lists_.exp_avgs, lists_.exp_avg_sqs, lists_.max_exp_avg_sqs,
             lists_.steps, o.lr, o.betas[0], o.betas[1], o.weight_decay, o.eps, o.amsgrad, o.maximize, {}, {});
    }
    lists_.clear();
  }

  size_t groups() const override { return groups_.size(); }
  double lr(size_t group) const override { return groups_.at(group).options.lr; }
  void set_lr(size_t group, double lr) override {
    detail::require(lr >= 0, name_of(decay_), "lr", lr, "0 or more");
    groups_.at(group).options.lr = lr;
  }
  std::string describe() const override {
    return std::string(name_of(decay_)) + "(lr " + shortest(groups_.front().options.lr) + ")";
  }

  void state(State& state) override {
    for (size_t g = 0; g < groups_.size(); ++g) {
      Group& group = groups_[g];
      OptionsState options{group.options};
      state.child("param_groups." + std::to_string(g), options);
      for (size_t i = 0; i < group.parameters.size(); ++i) state.child(group.parameters[i].name, group.states[i]);
    }
  }

 private:
  using Kernel = void(at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList,
                      double, double, double, double, double, bool, bool, const std::optional<at::Tensor>&,
                      const std::optional<at::Tensor>&);

  struct Moments {
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

  struct OptionsState {
    AdamOptions& options;
    void state(State& state) {
      state.value("lr", options.lr);
      state.value("beta1", options.betas[0]);
      state.value("beta2", options.betas[1]);
      state.value("eps", options.eps);
      state.value("weight_decay", options.weight_decay);
    }
  };

  struct Group {
    AdamOptions options;
    Parameters parameters;
    std::vector<Moments> states;
  };

  struct Lists {
    std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps;
    void add(const at::Tensor& parameter, const at::Tensor& gradient, const Moments& moments) {
      parameters.push_back(parameter);
      gradients.push_back(gradient);
      exp_avgs.push_back(moments.exp_avg);
      exp_avg_sqs.push_back(moments.exp_avg_sq);
      if (moments.max_exp_avg_sq.defined()) max_exp_avg_sqs.push_back(moments.max_exp_avg_sq);
      steps.push_back(moments.step);
    }
    void clear() {
      for (auto* list : {&parameters, &gradients, &exp_avgs, &exp_avg_sqs, &max_exp_avg_sqs, &steps}) list->clear();
    }
  };

  Decay decay_;
  std::vector<Group> groups_;
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

}  // namespace

Adam::Adam(AdamOptions options) : options_(options) { check(options_, "Adam"); }
std::shared_ptr<Optimizer> Adam::on(ParameterGroups groups) const {
  return std::make_shared<BoundAdam>(groups, options_, Decay::on_gradient);
}
std::string Adam::describe() const { return "Adam(lr " + shortest(options_.lr) + ")"; }

AdamW::AdamW(AdamWOptions options) : options_(options) { check(as_adam(options_), "AdamW"); }
std::shared_ptr<Optimizer> AdamW::on(ParameterGroups groups) const {
  return std::make_shared<BoundAdam>(groups, as_adam(options_), Decay::on_weights);
}
std::string AdamW::describe() const { return "AdamW(lr " + shortest(options_.lr) + ")"; }

}  // namespace athanor::optim
