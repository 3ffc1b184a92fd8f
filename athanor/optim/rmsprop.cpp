// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/rmsprop.hpp"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_sqrt.h>

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim {
namespace {

template <class T>
struct RMSpropFactors {
  T direction, decay;  // -1 to maximize; added to the gradient
  T alpha, gain, eps, momentum, lr;
};

/// The tensors of state in the order: mean square, then as far as they are there momentum and mean.
template <bool has_momentum, bool centered>
struct RMSpropKernel {
  static constexpr size_t states = 1 + (has_momentum ? 1 : 0) + (centered ? 1 : 0);
  template <class T>
  using Factors = RMSpropFactors<T>;

  template <class T, class... More>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g,
                                  detail::Pack<T>& square_avg, More&... more) {
    g = g * f.direction;
    if (f.decay != 0) g = multiply_add(f.decay, p, g);
    square_avg = addcmul(square_avg * f.alpha, g, g, f.gain);
    detail::Pack<T> mean_square = square_avg;
    if constexpr (centered) {
      detail::Pack<T>& grad_avg = last(more...);
      grad_avg = lerp(grad_avg, g, f.gain);
      mean_square = addcmul(square_avg, grad_avg, grad_avg, T(-1));
    }
    const detail::Pack<T> deviation = root(mean_square) + f.eps;
    if constexpr (has_momentum) {
      detail::Pack<T>& buffer = first(more...);
      buffer = addcdiv(buffer * f.momentum, g, deviation, T(1));
      p = multiply_add(-f.lr, buffer, p);
    } else {
      p = addcdiv(p, g, deviation, -f.lr);
    }
  }

 private:
  template <class P, class... More>
  ATHANOR_PACK static P& first(P& pack, More&...) {
    return pack;
  }
  template <class P>
  ATHANOR_PACK static P& last(P& pack) {
    return pack;
  }
  template <class P>
  ATHANOR_PACK static P& last(P&, P& pack) {
    return pack;
  }
};

struct RMSpropRules {
  static constexpr const char* name = "RMSprop";
  using Options = RMSpropOptions;
  static constexpr size_t states = 3;
  template <class T>
  using Factors = RMSpropFactors<T>;

  template <class Visitor>
  static void walk(RMSpropOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("alpha", o.alpha, &GroupOptions::alpha, detail::zero_or_more);
    visit("eps", o.eps, &GroupOptions::eps, detail::zero_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("momentum", o.momentum, &GroupOptions::momentum, detail::zero_or_more);
    visit("centered", o.centered, &GroupOptions::centered);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    at::Tensor step;
    at::Tensor square_avg;
    at::Tensor momentum_buffer;
    at::Tensor grad_avg;
    void state(State& state) {
      state.tensor("step", step);
      state.tensor("square_avg", square_avg);
      state.tensor("momentum_buffer", momentum_buffer);
      if (grad_avg.defined()) state.tensor("grad_avg", grad_avg);
    }
  };
  static Slot make_slot(const RMSpropOptions& o, const at::Tensor& parameter) {
    return {make_host_scalar(), detail::make_moment(parameter),
            o.momentum > 0 ? detail::make_moment(parameter) : at::Tensor(),
            o.centered ? detail::make_moment(parameter) : at::Tensor()};
  }
  /// A momentum that is set later begins then.
  static void prepare_slot(const RMSpropOptions& o, const at::Tensor& parameter, Slot& slot) {
    if (o.momentum > 0 && !slot.momentum_buffer.defined()) slot.momentum_buffer = detail::make_moment(parameter);
  }
  static std::array<at::Tensor, states> states_of(const RMSpropOptions& o, const Slot& slot) {
    if (o.momentum > 0) return {slot.square_avg, slot.momentum_buffer, slot.grad_avg};
    return {slot.square_avg, slot.grad_avg, at::Tensor()};
  }

  template <class T>
  static Factors<T> count_step(const RMSpropOptions& o, Slot& slot) {
    detail::host_scalar(slot.step) += 1;
    return {.direction = static_cast<T>(o.maximize ? -1 : 1),
            .decay = static_cast<T>(o.weight_decay),
            .alpha = static_cast<T>(o.alpha),
            .gain = static_cast<T>(1 - o.alpha),
            .eps = static_cast<T>(o.eps),
            .momentum = static_cast<T>(o.momentum),
            .lr = static_cast<T>(o.lr)};
  }

  template <class T>
  static detail::ElementJob::Run* kernel(const RMSpropOptions& o, const Factors<T>&) {
    if (o.momentum > 0) {
      return o.centered ? &detail::run_kernel<RMSpropKernel<true, true>, T>
                        : &detail::run_kernel<RMSpropKernel<true, false>, T>;
    }
    return o.centered ? &detail::run_kernel<RMSpropKernel<false, true>, T>
                      : &detail::run_kernel<RMSpropKernel<false, false>, T>;
  }

  static void by_operators(const RMSpropOptions& o, detail::OperatorLists<Factors<double>, states>& lists) {
    auto& [p, g, state, factors] = lists;
    auto& square_avg = state[0];
    if (o.maximize) g = at::_foreach_neg(g);
    if (o.weight_decay != 0) g = at::_foreach_add(g, p, o.weight_decay);
    detail::scale_all(square_avg, o.alpha);
    at::_foreach_addcmul_(square_avg, g, g, 1 - o.alpha);
    std::vector<at::Tensor> deviation;
    if (o.centered) {
      auto& grad_avg = state[o.momentum > 0 ? 2 : 1];
      at::_foreach_lerp_(grad_avg, g, 1 - o.alpha);
      deviation = at::_foreach_addcmul(square_avg, grad_avg, grad_avg, -1);
      at::_foreach_sqrt_(deviation);
    } else {
      deviation = at::_foreach_sqrt(square_avg);
    }
    at::_foreach_add_(deviation, o.eps);
    if (o.momentum > 0) {
      auto& buffer = state[1];
      detail::scale_all(buffer, o.momentum);
      at::_foreach_addcdiv_(buffer, g, deviation);
      at::_foreach_add_(p, buffer, -o.lr);
    } else {
      at::_foreach_addcdiv_(p, g, deviation, -o.lr);
    }
  }
};

using BoundRMSprop = detail::ElementwiseOptimizer<RMSpropRules>;

}  // namespace

RMSprop::RMSprop(RMSpropOptions options)
    : OptionsRecipe(detail::checked_options<RMSpropRules>(options), detail::bind_optimizer<BoundRMSprop>,
                    detail::describe_recipe<BoundRMSprop>) {}

}  // namespace athanor::optim
