// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/adadelta.hpp"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_sqrt.h>

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim {
namespace {

template <class T>
struct AdadeltaFactors {
  T direction, decay;  // -1 to maximize; added to the gradient
  T rho, gain, eps, lr;
};

struct AdadeltaKernel {
  static constexpr size_t states = 2;
  template <class T>
  using Factors = AdadeltaFactors<T>;

  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g,
                                  detail::Pack<T>& square_avg, detail::Pack<T>& acc_delta) {
    g = g * f.direction;
    if (f.decay != 0) g = multiply_add(f.decay, p, g);
    square_avg = addcmul(square_avg * f.rho, g, g, f.gain);
    const detail::Pack<T> delta = root(acc_delta + f.eps) / root(square_avg + f.eps) * g;
    acc_delta = addcmul(acc_delta * f.rho, delta, delta, f.gain);
    p = multiply_add(-f.lr, delta, p);
  }
};

struct AdadeltaRules {
  static constexpr const char* name = "Adadelta";
  using Options = AdadeltaOptions;
  static constexpr size_t states = 2;
  template <class T>
  using Factors = AdadeltaFactors<T>;

  template <class Visitor>
  static void walk(AdadeltaOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("rho", o.rho, &GroupOptions::rho, detail::zero_to_one);
    visit("eps", o.eps, &GroupOptions::eps, detail::zero_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    at::Tensor step;
    at::Tensor square_avg;
    at::Tensor acc_delta;
    void state(State& state) {
      state.tensor("step", step);
      state.tensor("square_avg", square_avg);
      state.tensor("acc_delta", acc_delta);
    }
  };
  static Slot make_slot(const AdadeltaOptions&, const at::Tensor& parameter) {
    return {make_host_scalar(), detail::make_moment(parameter), detail::make_moment(parameter)};
  }
  static std::array<at::Tensor, states> states_of(const AdadeltaOptions&, const Slot& slot) {
    return {slot.square_avg, slot.acc_delta};
  }

  template <class T>
  static Factors<T> count_step(const AdadeltaOptions& o, Slot& slot) {
    detail::host_scalar(slot.step) += 1;
    return {.direction = static_cast<T>(o.maximize ? -1 : 1),
            .decay = static_cast<T>(o.weight_decay),
            .rho = static_cast<T>(o.rho),
            .gain = static_cast<T>(1 - o.rho),
            .eps = static_cast<T>(o.eps),
            .lr = static_cast<T>(o.lr)};
  }

  template <class T>
  static detail::ElementJob::Run* kernel(const AdadeltaOptions&, const Factors<T>&) {
    return &detail::run_kernel<AdadeltaKernel, T>;
  }

  static void by_operators(const AdadeltaOptions& o, detail::OperatorLists<Factors<double>, states>& lists) {
    auto& [p, g, state, factors] = lists;
    auto& [square_avg, acc_delta] = state;
    if (o.maximize) g = at::_foreach_neg(g);
    if (o.weight_decay != 0) g = at::_foreach_add(g, p, o.weight_decay);
    detail::scale_all(square_avg, o.rho);
    at::_foreach_addcmul_(square_avg, g, g, 1 - o.rho);
    std::vector<at::Tensor> deviation = at::_foreach_add(square_avg, o.eps);
    at::_foreach_sqrt_(deviation);
    std::vector<at::Tensor> delta = at::_foreach_add(acc_delta, o.eps);
    at::_foreach_sqrt_(delta);
    at::_foreach_div_(delta, deviation);
    at::_foreach_mul_(delta, g);
    detail::scale_all(acc_delta, o.rho);
    at::_foreach_addcmul_(acc_delta, delta, delta, 1 - o.rho);
    at::_foreach_add_(p, delta, -o.lr);
  }
};

using BoundAdadelta = detail::ElementwiseOptimizer<AdadeltaRules>;

}  // namespace

Adadelta::Adadelta(AdadeltaOptions options)
    : OptionsRecipe(detail::checked_options<AdadeltaRules>(options), detail::bind_optimizer<BoundAdadelta>,
                    detail::describe_recipe<BoundAdadelta>) {}

}  // namespace athanor::optim
