// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/adamax.hpp"

#include <ATen/ops/_foreach_abs.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_maximum.h>
#include <ATen/ops/_foreach_neg.h>

#include <cmath>

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim {
namespace {

template <class T>
struct AdamaxFactors {
  T direction, decay;  // -1 to maximize; added to the gradient
  T gain1, beta2, eps, of_momentum;
};

struct AdamaxKernel {
  static constexpr size_t states = 2;
  template <class T>
  using Factors = AdamaxFactors<T>;

  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g, detail::Pack<T>& exp_avg,
                                  detail::Pack<T>& exp_inf) {
    g = g * f.direction;
    if (f.decay != 0) g = multiply_add(f.decay, p, g);
    exp_avg = lerp(exp_avg, g, f.gain1);
    exp_inf = maximum(exp_inf * f.beta2, magnitude(g) + f.eps);
    p = addcdiv(p, exp_avg, exp_inf, f.of_momentum);
  }
};

struct AdamaxRules {
  static constexpr const char* name = "Adamax";
  using Options = AdamaxOptions;
  static constexpr size_t states = 2;
  template <class T>
  using Factors = AdamaxFactors<T>;

  template <class Visitor>
  static void walk(AdamaxOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("betas", o.betas, &GroupOptions::betas, detail::below_one);
    visit("eps", o.eps, &GroupOptions::eps, detail::zero_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    at::Tensor step;
    at::Tensor exp_avg;
    at::Tensor exp_inf;
    void state(State& state) {
      state.tensor("step", step);
      state.tensor("exp_avg", exp_avg);
      state.tensor("exp_inf", exp_inf);
    }
  };
  static Slot make_slot(const AdamaxOptions&, const at::Tensor& parameter) {
    return {make_host_scalar(), detail::make_moment(parameter), detail::make_moment(parameter)};
  }
  static std::array<at::Tensor, states> states_of(const AdamaxOptions&, const Slot& slot) {
    return {slot.exp_avg, slot.exp_inf};
  }

  template <class T>
  static Factors<T> count_step(const AdamaxOptions& o, Slot& slot) {
    const double step = detail::host_scalar(slot.step) += 1;
    return {.direction = static_cast<T>(o.maximize ? -1 : 1),
            .decay = static_cast<T>(o.weight_decay),
            .gain1 = static_cast<T>(1 - o.betas[0]),
            .beta2 = static_cast<T>(o.betas[1]),
            .eps = static_cast<T>(o.eps),
            .of_momentum = static_cast<T>(-(o.lr / (1 - std::pow(o.betas[0], step))))};
  }

  template <class T>
  static detail::ElementJob::Run* kernel(const AdamaxOptions&, const Factors<T>&) {
    return &detail::run_kernel<AdamaxKernel, T>;
  }

  static void by_operators(const AdamaxOptions& o, detail::OperatorLists<Factors<double>, states>& lists) {
    auto& [p, g, state, factors] = lists;
    auto& [exp_avg, exp_inf] = state;
    if (o.maximize) g = at::_foreach_neg(g);
    if (o.weight_decay != 0) g = at::_foreach_add(g, p, o.weight_decay);
    at::_foreach_lerp_(exp_avg, g, 1 - o.betas[0]);
    detail::scale_all(exp_inf, o.betas[1]);
    std::vector<at::Tensor> size = at::_foreach_abs(g);
    at::_foreach_add_(size, o.eps);
    at::_foreach_maximum_(exp_inf, size);
    at::_foreach_addcdiv_(p, exp_avg, exp_inf, lists.all(&Factors<double>::of_momentum));
  }
};

using BoundAdamax = detail::ElementwiseOptimizer<AdamaxRules>;

}  // namespace

Adamax::Adamax(AdamaxOptions options)
    : OptionsRecipe(detail::checked_options<AdamaxRules>(options), detail::bind_optimizer<BoundAdamax>,
                    detail::describe_recipe<BoundAdamax>) {}

}  // namespace athanor::optim
