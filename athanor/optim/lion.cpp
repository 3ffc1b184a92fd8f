// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/lion.hpp"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_sign.h>

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim {
namespace {

template <class T>
struct LionFactors {
  T direction, shrink;  // -1 to maximize; multiplies the weights
  T beta1, gain1, beta2, gain2, lr;
};

struct LionKernel {
  static constexpr size_t states = 1;
  template <class T>
  using Factors = LionFactors<T>;

  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g,
                                  detail::Pack<T>& exp_avg) {
    g = g * f.direction;
    if (f.shrink != 1) p = p * f.shrink;
    p = multiply_add(-f.lr, sign(multiply_add(f.gain1, g, exp_avg * f.beta1)), p);
    exp_avg = multiply_add(f.gain2, g, exp_avg * f.beta2);
  }
};

struct LionRules {
  static constexpr const char* name = "Lion";
  using Options = LionOptions;
  static constexpr size_t states = 1;
  template <class T>
  using Factors = LionFactors<T>;

  template <class Visitor>
  static void walk(LionOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("betas", o.betas, &GroupOptions::betas, detail::below_one);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    at::Tensor exp_avg;
    void state(State& state) { state.tensor("exp_avg", exp_avg); }
  };
  static Slot make_slot(const LionOptions&, const at::Tensor& parameter) { return {detail::make_moment(parameter)}; }
  static std::array<at::Tensor, states> states_of(const LionOptions&, const Slot& slot) { return {slot.exp_avg}; }

  template <class T>
  static Factors<T> count_step(const LionOptions& o, Slot&) {
    return {.direction = static_cast<T>(o.maximize ? -1 : 1),
            .shrink = static_cast<T>(1 - o.lr * o.weight_decay),
            .beta1 = static_cast<T>(o.betas[0]),
            .gain1 = static_cast<T>(1 - o.betas[0]),
            .beta2 = static_cast<T>(o.betas[1]),
            .gain2 = static_cast<T>(1 - o.betas[1]),
            .lr = static_cast<T>(o.lr)};
  }

  template <class T>
  static detail::ElementJob::Run* kernel(const LionOptions&, const Factors<T>&) {
    return &detail::run_kernel<LionKernel, T>;
  }

  static void by_operators(const LionOptions& o, detail::OperatorLists<Factors<double>, states>& lists) {
    auto& [p, g, state, factors] = lists;
    auto& exp_avg = state[0];
    if (o.maximize) g = at::_foreach_neg(g);
    if (o.weight_decay != 0) detail::scale_all(p, 1 - o.lr * o.weight_decay);
    std::vector<at::Tensor> direction = detail::scaled_all(exp_avg, o.betas[0]);
    at::_foreach_add_(direction, g, 1 - o.betas[0]);
    at::_foreach_sign_(direction);
    at::_foreach_add_(p, direction, -o.lr);
    detail::scale_all(exp_avg, o.betas[1]);
    at::_foreach_add_(exp_avg, g, 1 - o.betas[1]);
  }
};

using BoundLion = detail::ElementwiseOptimizer<LionRules>;

}  // namespace

Lion::Lion(LionOptions options)
    : OptionsRecipe(detail::checked_options<LionRules>(options), detail::bind_optimizer<BoundLion>,
                    detail::describe_recipe<BoundLion>) {}

}  // namespace athanor::optim
