// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/radam.hpp"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_reciprocal.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_foreach_sub.h>

#include <cmath>

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim {
namespace {

template <class T>
struct RAdamFactors {
  T direction, decay, shrink;  // -1 to maximize; added to the gradient; multiplies the weights
  T gain1, beta2, gain2, bias_correction1, lr, eps, root_correction2;
  T rectification;  // 0 while the second moment is not used
};

struct RAdamKernel {
  static constexpr size_t states = 2;
  template <class T>
  using Factors = RAdamFactors<T>;

  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g, detail::Pack<T>& exp_avg,
                                  detail::Pack<T>& exp_avg_sq) {
    g = g * f.direction;
    if (f.shrink != 1) p = p * f.shrink;
    if (f.decay != 0) g = multiply_add(f.decay, p, g);
    exp_avg = lerp(exp_avg, g, f.gain1);
    exp_avg_sq = addcmul(exp_avg_sq * f.beta2, g, g, f.gain2);
    detail::Pack<T> change = exp_avg / f.bias_correction1 * f.lr;
    if (f.rectification != 0)
      change = change * (T(1) / (root(exp_avg_sq) + f.eps) * f.root_correction2) * f.rectification;
    p = p - change;
  }
};

struct RAdamRules {
  static constexpr const char* name = "RAdam";
  using Options = RAdamOptions;
  static constexpr size_t states = 2;
  template <class T>
  using Factors = RAdamFactors<T>;

  template <class Visitor>
  static void walk(RAdamOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("betas", o.betas, &GroupOptions::betas, detail::below_one);
    visit("eps", o.eps, &GroupOptions::eps, detail::zero_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("decoupled_weight_decay", o.decoupled_weight_decay, &GroupOptions::decoupled_weight_decay);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    at::Tensor step;
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
    void state(State& state) {
      state.tensor("step", step);
      state.tensor("exp_avg", exp_avg);
      state.tensor("exp_avg_sq", exp_avg_sq);
    }
  };
  static Slot make_slot(const RAdamOptions&, const at::Tensor& parameter) {
    return {make_host_scalar(), detail::make_moment(parameter), detail::make_moment(parameter)};
  }
  static std::array<at::Tensor, states> states_of(const RAdamOptions&, const Slot& slot) {
    return {slot.exp_avg, slot.exp_avg_sq};
  }

  template <class T>
  static Factors<T> count_step(const RAdamOptions& o, Slot& slot) {
    const double step = detail::host_scalar(slot.step) += 1;
    const double beta2 = o.betas[1];
    const double correction2 = 1 - std::pow(beta2, step);
    const double longest = 2 / (1 - beta2) - 1;
    const double length = longest - 2 * step * std::pow(beta2, step) / correction2;
    const double rectification =
        length > 5 ? std::sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) : 0;
    const bool decoupled = o.decoupled_weight_decay;
    return {.direction = static_cast<T>(o.maximize ? -1 : 1),
            .decay = static_cast<T>(decoupled ? 0 : o.weight_decay),
            .shrink = static_cast<T>(decoupled ? 1 - o.lr * o.weight_decay : 1),
            .gain1 = static_cast<T>(1 - o.betas[0]),
            .beta2 = static_cast<T>(beta2),
            .gain2 = static_cast<T>(1 - beta2),
            .bias_correction1 = static_cast<T>(1 - std::pow(o.betas[0], step)),
            .lr = static_cast<T>(o.lr),
            .eps = static_cast<T>(o.eps),
            .root_correction2 = static_cast<T>(std::sqrt(correction2)),
            .rectification = static_cast<T>(rectification)};
  }

  template <class T>
  static detail::ElementJob::Run* kernel(const RAdamOptions&, const Factors<T>&) {
    return &detail::run_kernel<RAdamKernel, T>;
  }

  static void by_operators(const RAdamOptions& o, detail::OperatorLists<Factors<double>, states>& lists) {
    using F = Factors<double>;
    auto& [p, g, state, factors] = lists;
    auto& [exp_avg, exp_avg_sq] = state;
    if (o.maximize) g = at::_foreach_neg(g);
    if (o.weight_decay != 0 && o.decoupled_weight_decay) detail::scale_all(p, 1 - o.lr * o.weight_decay);
    if (o.weight_decay != 0 && !o.decoupled_weight_decay) g = at::_foreach_add(g, p, o.weight_decay);
    at::_foreach_lerp_(exp_avg, g, 1 - o.betas[0]);
    detail::scale_all(exp_avg_sq, o.betas[1]);
    at::_foreach_addcmul_(exp_avg_sq, g, g, 1 - o.betas[1]);
    for (const bool rectified : {false, true}) {
      auto part = lists.where([&](const F& f) { return (f.rectification != 0) == rectified; });
      if (part.parameters.empty()) continue;
      std::vector<at::Tensor> change = at::_foreach_div(part.state[0], part.all(&F::bias_correction1));
      detail::scale_all(change, o.lr);
      if (rectified) {
        std::vector<at::Tensor> adaptive = at::_foreach_sqrt(part.state[1]);
        at::_foreach_add_(adaptive, o.eps);
        at::_foreach_reciprocal_(adaptive);
        detail::scale_all(adaptive, part.all(&F::root_correction2));
        at::_foreach_mul_(change, adaptive);
        detail::scale_all(change, part.all(&F::rectification));
      }
      at::_foreach_add_(part.parameters, change, -1);
    }
  }
};

using BoundRAdam = detail::ElementwiseOptimizer<RAdamRules>;

}  // namespace

RAdam::RAdam(RAdamOptions options)
    : OptionsRecipe(detail::checked_options<RAdamRules>(options), detail::bind_optimizer<BoundRAdam>,
                    detail::describe_recipe<BoundRAdam>) {}

}  // namespace athanor::optim
