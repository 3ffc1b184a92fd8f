// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/rprop.hpp"

#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_clamp_max.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_sign.h>

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim {
namespace {

template <class T>
struct RpropFactors {
  T direction;  // -1 to maximize
  T shorter, longer, shortest, longest;
};

struct RpropKernel {
  static constexpr size_t states = 2;
  template <class T>
  using Factors = RpropFactors<T>;

  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g, detail::Pack<T>& prev,
                                  detail::Pack<T>& step_size) {
    using P = detail::Pack<T>;
    const P zero = P::all(0), low = P::all(f.shortest), high = P::all(f.longest);
    g = g * f.direction;
    const P product = g * prev;
    const P factor =
        P::if_greater(product, zero, P::all(f.longer), P::if_greater(zero, product, P::all(f.shorter), P::all(1)));
    step_size = step_size * factor;
    step_size = P::if_greater(low, step_size, low, step_size);
    step_size = P::if_greater(step_size, high, high, step_size);
    g = P::if_greater(zero, product, zero, g);
    p = multiply_add(-sign(g), step_size, p);
    prev = g;
  }
};

struct RpropRules {
  static constexpr const char* name = "Rprop";
  using Options = RpropOptions;
  static constexpr size_t states = 2;
  template <class T>
  using Factors = RpropFactors<T>;

  template <class Visitor>
  static void walk(RpropOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("etas", o.etas, &GroupOptions::etas, detail::above_zero);
    visit("step_sizes", o.step_sizes, &GroupOptions::step_sizes, detail::any_number);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  static void check_together(const RpropOptions& o, const std::string& optimizer) {
    detail::require(o.etas[0] < 1, optimizer, "etas", o.etas[0], "the first above 0 and below 1");
    detail::require(o.etas[1] > 1, optimizer, "etas", o.etas[1], "the second above 1");
  }

  struct Slot {
    at::Tensor step;
    at::Tensor prev;
    at::Tensor step_size;
    void state(State& state) {
      state.tensor("step", step);
      state.tensor("prev", prev);
      state.tensor("step_size", step_size);
    }
  };
  static Slot make_slot(const RpropOptions& o, const at::Tensor& parameter) {
    Slot slot{make_host_scalar(), detail::make_moment(parameter), detail::make_moment(parameter)};
    slot.step_size.fill_(o.lr);
    return slot;
  }
  static void prepare_slot(const RpropOptions& o, const at::Tensor&, Slot& slot) {
    if (detail::host_scalar(slot.step) == 0) slot.step_size.fill_(o.lr);
  }
  static std::array<at::Tensor, states> states_of(const RpropOptions&, const Slot& slot) {
    return {slot.prev, slot.step_size};
  }

  template <class T>
  static Factors<T> count_step(const RpropOptions& o, Slot& slot) {
    detail::host_scalar(slot.step) += 1;
    return {.direction = static_cast<T>(o.maximize ? -1 : 1),
            .shorter = static_cast<T>(o.etas[0]),
            .longer = static_cast<T>(o.etas[1]),
            .shortest = static_cast<T>(o.step_sizes[0]),
            .longest = static_cast<T>(o.step_sizes[1])};
  }

  template <class T>
  static detail::ElementJob::Run* kernel(const RpropOptions&, const Factors<T>&) {
    return &detail::run_kernel<RpropKernel, T>;
  }

  static void by_operators(const RpropOptions& o, detail::OperatorLists<Factors<double>, states>& lists) {
    auto& [p, g, state, factors] = lists;
    auto& [prev, step_size] = state;
    if (o.maximize) g = at::_foreach_neg(g);
    std::vector<at::Tensor> factor = at::_foreach_mul(g, prev);
    at::_foreach_sign_(factor);
    for (size_t i = 0; i < g.size(); ++i) {
      const at::Tensor turned = factor[i].lt(0), same = factor[i].gt(0);
      factor[i].fill_(1).masked_fill_(same, o.etas[1]).masked_fill_(turned, o.etas[0]);
      g[i] = g[i].masked_fill(turned, 0);
    }
    at::_foreach_mul_(step_size, factor);
    at::_foreach_clamp_min_(step_size, o.step_sizes[0]);
    at::_foreach_clamp_max_(step_size, o.step_sizes[1]);
    at::_foreach_addcmul_(p, at::_foreach_sign(g), step_size, -1);
    at::_foreach_copy_(prev, g);
  }
};

using BoundRprop = detail::ElementwiseOptimizer<RpropRules>;

}  // namespace

Rprop::Rprop(RpropOptions options)
    : OptionsRecipe(detail::checked_options<RpropRules>(options), detail::bind_optimizer<BoundRprop>,
                    detail::describe_recipe<BoundRprop>) {}

}  // namespace athanor::optim
