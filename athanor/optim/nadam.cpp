// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/nadam.hpp"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_sqrt.h>

#include <cmath>

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim {
namespace {

struct NAdamKernel {
  static constexpr size_t states = 2;

  template <class T>
  struct Factors {
    T direction, decay, shrink;  ///< -1 to maximize; added to the gradient; multiplies the weights
    T gain1, beta2, gain2, bias_correction2, eps, of_gradient, of_momentum;
  };

  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g, detail::Pack<T>& exp_avg,
                                  detail::Pack<T>& exp_avg_sq) {
    g = g * f.direction;
    if (f.shrink != 1) p = p * f.shrink;
    if (f.decay != 0) g = multiply_add(f.decay, p, g);
    exp_avg = lerp(exp_avg, g, f.gain1);
    exp_avg_sq = addcmul(exp_avg_sq * f.beta2, g, g, f.gain2);
    const detail::Pack<T> denominator = root(exp_avg_sq / f.bias_correction2) + f.eps;
    p = addcdiv(p, g, denominator, f.of_gradient);
    p = addcdiv(p, exp_avg, denominator, f.of_momentum);
  }
};

struct NAdamRules {
  static constexpr const char* name = "NAdam";
  using Options = NAdamOptions;
  static constexpr size_t states = 2;
  template <class T>
  using Factors = NAdamKernel::Factors<T>;

  template <class Visitor>
  static void walk(NAdamOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("betas", o.betas, &GroupOptions::betas, detail::below_one);
    visit("eps", o.eps, &GroupOptions::eps, detail::zero_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("momentum_decay", o.momentum_decay, &GroupOptions::momentum_decay, detail::zero_or_more);
    visit("decoupled_weight_decay", o.decoupled_weight_decay, &GroupOptions::decoupled_weight_decay);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    at::Tensor step;
    at::Tensor mu_product;
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
    void state(State& state) {
      state.tensor("step", step);
      state.tensor("mu_product", mu_product);
      state.tensor("exp_avg", exp_avg);
      state.tensor("exp_avg_sq", exp_avg_sq);
    }
  };
  static Slot make_slot(const NAdamOptions&, const at::Tensor& parameter) {
    return {make_host_scalar(), make_host_scalar(1), detail::make_moment(parameter), detail::make_moment(parameter)};
  }
  static std::array<at::Tensor, states> states_of(const NAdamOptions&, const Slot& slot) {
    return {slot.exp_avg, slot.exp_avg_sq};
  }

  template <class T>
  static Factors<T> count_step(const NAdamOptions& o, Slot& slot) {
    const double step = detail::host_scalar(slot.step) += 1;
    const auto momentum_at = [&](double time) {
      return o.betas[0] * (1 - 0.5 * std::pow(0.96, time * o.momentum_decay));
    };
    const double mu = momentum_at(step), mu_next = momentum_at(step + 1);
    const double product = detail::host_scalar(slot.mu_product) *= static_cast<float>(mu);
    const bool decoupled = o.decoupled_weight_decay;
    return {.direction = static_cast<T>(o.maximize ? -1 : 1),
            .decay = static_cast<T>(decoupled ? 0 : o.weight_decay),
            .shrink = static_cast<T>(decoupled ? 1 - o.lr * o.weight_decay : 1),
            .gain1 = static_cast<T>(1 - o.betas[0]),
            .beta2 = static_cast<T>(o.betas[1]),
            .gain2 = static_cast<T>(1 - o.betas[1]),
            .bias_correction2 = static_cast<T>(1 - std::pow(o.betas[1], step)),
            .eps = static_cast<T>(o.eps),
            .of_gradient = static_cast<T>(-o.lr * (1 - mu) / (1 - product)),
            .of_momentum = static_cast<T>(-o.lr * mu_next / (1 - product * mu_next))};
  }

  template <class T>
  static detail::ElementJob::Run* kernel(const NAdamOptions&, const Factors<T>&) {
    return &detail::run_kernel<NAdamKernel, T>;
  }

  static void by_operators(const NAdamOptions& o, detail::OperatorLists<Factors<double>, states>& lists) {
    using F = Factors<double>;
    auto& [p, g, state, factors] = lists;
    auto& [exp_avg, exp_avg_sq] = state;
    if (o.maximize) g = at::_foreach_neg(g);
    if (o.weight_decay != 0 && o.decoupled_weight_decay) detail::scale_all(p, 1 - o.lr * o.weight_decay);
    if (o.weight_decay != 0 && !o.decoupled_weight_decay) g = at::_foreach_add(g, p, o.weight_decay);
    at::_foreach_lerp_(exp_avg, g, 1 - o.betas[0]);
    detail::scale_all(exp_avg_sq, o.betas[1]);
    at::_foreach_addcmul_(exp_avg_sq, g, g, 1 - o.betas[1]);
    std::vector<at::Tensor> denominator = at::_foreach_div(exp_avg_sq, lists.all(&F::bias_correction2));
    at::_foreach_sqrt_(denominator);
    at::_foreach_add_(denominator, o.eps);
    at::_foreach_addcdiv_(p, g, denominator, lists.all(&F::of_gradient));
    at::_foreach_addcdiv_(p, exp_avg, denominator, lists.all(&F::of_momentum));
  }
};

using BoundNAdam = detail::ElementwiseOptimizer<NAdamRules>;

}  // namespace

NAdam::NAdam(NAdamOptions options)
    : OptionsRecipe(detail::checked_options<NAdamRules>(options), detail::bind_optimizer<BoundNAdam>,
                    detail::describe_recipe<BoundNAdam>) {}

}  // namespace athanor::optim
