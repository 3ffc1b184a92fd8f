// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/asgd.hpp"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_sub.h>

#include <algorithm>
#include <cmath>

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim {
namespace {

template <class T>
struct ASGDFactors {
  T direction, decay;  // -1 to maximize; added to the gradient
  T shrink, eta, mu;   // mu is 1 while nothing is averaged
};

struct ASGDKernel {
  static constexpr size_t states = 1;
  template <class T>
  using Factors = ASGDFactors<T>;

  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g, detail::Pack<T>& ax) {
    g = g * f.direction;
    if (f.decay != 0) g = multiply_add(f.decay, p, g);
    p = multiply_add(-f.eta, g, p * f.shrink);
    ax = f.mu == 1 ? p : ax + (p - ax) * f.mu;
  }
};

struct ASGDRules {
  static constexpr const char* name = "ASGD";
  using Options = ASGDOptions;
  static constexpr size_t states = 1;
  template <class T>
  using Factors = ASGDFactors<T>;

  template <class Visitor>
  static void walk(ASGDOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("lambd", o.lambd, &GroupOptions::lambd, detail::any_number);
    visit("alpha", o.alpha, &GroupOptions::alpha, detail::any_number);
    visit("t0", o.t0, &GroupOptions::t0, detail::any_number);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    at::Tensor step;
    at::Tensor eta;
    at::Tensor mu;
    at::Tensor ax;
    void state(State& state) {
      state.tensor("step", step);
      state.tensor("eta", eta);
      state.tensor("mu", mu);
      state.tensor("ax", ax);
    }
  };
  static Slot make_slot(const ASGDOptions& o, const at::Tensor& parameter) {
    return {make_host_scalar(), make_host_scalar(static_cast<float>(o.lr)), make_host_scalar(1),
            detail::make_moment(parameter)};
  }
  static void prepare_slot(const ASGDOptions& o, const at::Tensor&, Slot& slot) {
    if (detail::host_scalar(slot.step) == 0) detail::host_scalar(slot.eta) = static_cast<float>(o.lr);
  }
  static std::array<at::Tensor, states> states_of(const ASGDOptions&, const Slot& slot) { return {slot.ax}; }

  template <class T>
  static Factors<T> count_step(const ASGDOptions& o, Slot& slot) {
    const double step = detail::host_scalar(slot.step) += 1;
    const double eta = detail::host_scalar(slot.eta);
    const Factors<T> factors{.direction = static_cast<T>(o.maximize ? -1 : 1),
                             .decay = static_cast<T>(o.weight_decay),
                             .shrink = static_cast<T>(1 - o.lambd * eta),
                             .eta = static_cast<T>(eta),
                             .mu = static_cast<T>(detail::host_scalar(slot.mu))};
    detail::host_scalar(slot.eta) = static_cast<float>(o.lr / std::pow(1 + o.lambd * o.lr * step, o.alpha));
    detail::host_scalar(slot.mu) = static_cast<float>(1 / std::max(1.0, step - o.t0));
    return factors;
  }

  template <class T>
  static detail::ElementJob::Run* kernel(const ASGDOptions&, const Factors<T>&) {
    return &detail::run_kernel<ASGDKernel, T>;
  }

  static void by_operators(const ASGDOptions& o, detail::OperatorLists<Factors<double>, states>& lists) {
    using F = Factors<double>;
    auto& [p, g, state, factors] = lists;
    if (o.maximize) g = at::_foreach_neg(g);
    if (o.weight_decay != 0) g = at::_foreach_add(g, p, o.weight_decay);
    detail::scale_all(p, lists.all(&F::shrink));
    for (size_t i = 0; i < p.size(); ++i) p[i].add_(g[i], -factors[i].eta);
    auto begun = lists.where([](const F& f) { return f.mu != 1; });
    auto others = lists.where([](const F& f) { return f.mu == 1; });
    if (!others.parameters.empty()) at::_foreach_copy_(others.state[0], others.parameters);
    if (begun.parameters.empty()) return;
    std::vector<at::Tensor> way = at::_foreach_sub(begun.parameters, begun.state[0]);
    detail::scale_all(way, begun.all(&F::mu));
    at::_foreach_add_(begun.state[0], way);
  }
};

using BoundASGD = detail::ElementwiseOptimizer<ASGDRules>;

}  // namespace

ASGD::ASGD(ASGDOptions options)
    : OptionsRecipe(detail::checked_options<ASGDRules>(options), detail::bind_optimizer<BoundASGD>,
                    detail::describe_recipe<BoundASGD>) {}

}  // namespace athanor::optim
