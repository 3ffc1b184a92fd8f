// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/adagrad.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_fused_adagrad.h>

#include "athanor/optim/elementwise.hpp"
#include "athanor/optim/sparse_rows.hpp"

namespace athanor::optim {
namespace {

template <class T>
struct AdagradRowFactors {
  T direction, eps, lr;
};

struct AdagradRowKernel {
  static constexpr size_t states = 1;
  template <class T>
  using Factors = AdagradRowFactors<T>;

  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g, detail::Pack<T>& sum) {
    g = g * f.direction;
    sum = sum + g * g;
    p = multiply_add(-f.lr, g / (root(sum) + f.eps), p);
  }
};

struct AdagradRules {
  static constexpr const char* name = "Adagrad";
  using Options = AdagradOptions;

  template <class Visitor>
  static void walk(AdagradOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("lr_decay", o.lr_decay, &GroupOptions::lr_decay, detail::zero_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("initial_accumulator_value", o.initial_accumulator_value, &GroupOptions::initial_accumulator_value,
          detail::zero_or_more);
    visit("eps", o.eps, &GroupOptions::eps, detail::zero_or_more);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    at::Tensor step;
    at::Tensor sum;
    void state(State& state) {
      state.tensor("step", step);
      state.tensor("sum", sum);
    }
  };
  static Slot make_slot(const AdagradOptions& options, const at::Tensor& parameter) {
    Slot slot{detail::make_step_counter(parameter), detail::make_moment(parameter)};
    slot.sum.fill_(options.initial_accumulator_value);
    return slot;
  }
};

class BoundAdagrad final : public detail::GroupedOptimizer<AdagradRules> {
 public:
  BoundAdagrad(const AdagradOptions& options, const ParameterGroups& groups) : GroupedOptimizer(options, groups) {}

  using Optimizer::step;
  void step(const GradientScale& gradient_scale) override {
    const at::NoGradGuard no_grad;
    for (Group& group : groups_) {
      const detail::KernelScale scale = detail::kernel_scale(gradient_scale, group.device(), name_);
      if (scale.skip) continue;
      Lists lists;
      for (size_t i = 0; i < group.parameters.size(); ++i) {
        if (detail::has_sparse_gradient(group.parameters[i])) {
          step_sparse(group, i, gradient_scale);
          continue;
        }
        const at::Tensor& gradient = detail::checked_gradient(group.parameters[i], name_);
        if (!gradient.defined()) continue;
        lists.parameters.push_back(group.parameters[i].tensor);
        lists.gradients.push_back(gradient);
        lists.sums.push_back(group.slots[i].sum);
        lists.steps.push_back(group.slots[i].step);
      }
      if (lists.parameters.empty()) continue;
      if (group.device().is_cpu() || group.device().is_cuda()) {
        step_fused(group, lists, scale);
      } else {
        step_by_operators(group, lists, gradient_scale);
      }
    }
  }

 private:
  struct Lists {
    std::vector<at::Tensor> parameters, gradients, sums, steps;
  };

  static void step_fused(const Group& group, Lists& lists, const detail::KernelScale& scale) {
    detail::count_steps(lists.steps, scale);
    const AdagradOptions& o = group.options;
    const auto run = [&](const auto& lr) {
      at::_fused_adagrad_(lists.parameters, lists.gradients, lists.sums, lists.steps, lr, o.lr_decay, o.weight_decay,
                          o.eps, o.maximize, scale.divisor, scale.found_inf);
    };
    group.lr.defined() ? run(group.lr) : run(o.lr);
    detail::tell_graphs(lists.parameters, lists.gradients, scale);
  }

  /// For devices that have no fused kernel.
  void step_by_operators(Group& group, Lists& lists, const GradientScale& gradient_scale) const {
    const detail::StepScale scale = detail::step_scale(gradient_scale, group.device(), name_);
    if (scale.skip) return;
    read_lr(group);
    const AdagradOptions& o = group.options;
    if (scale.on_device.defined()) detail::divide_gradients(lists.gradients, scale.on_device);
    at::_foreach_add_(lists.steps, 1);
    std::vector<at::Scalar> rates;
    for (const at::Tensor& step : lists.steps) rates.emplace_back(-rate_of(o, step.item<double>()));
    std::vector<at::Tensor> gradients = lists.gradients;
    if (o.maximize) gradients = at::_foreach_neg(gradients);
    if (o.weight_decay != 0) gradients = at::_foreach_add(gradients, lists.parameters, o.weight_decay);
    at::_foreach_addcmul_(lists.sums, gradients, gradients, 1);
    std::vector<at::Tensor> deviation = at::_foreach_sqrt(lists.sums);
    at::_foreach_add_(deviation, o.eps);
    at::_foreach_addcdiv_(lists.parameters, gradients, deviation, rates);
  }

  static double rate_of(const AdagradOptions& o, double step) { return o.lr / (1 + (step - 1) * o.lr_decay); }

  void step_sparse(Group& group, size_t i, const GradientScale& gradient_scale) const {
    const Parameter& parameter = group.parameters[i];
    if (group.options.weight_decay != 0) {
      throw Error({.what = "Adagrad takes a sparse gradient without weight decay only",
                   .where = name_ + ", " + parameter.name,
                   .got = "weight_decay " + shortest(group.options.weight_decay),
                   .todo = "put this parameter into a group without, or make the embedding with sparse(false)"});
    }
    const detail::StepScale scale = detail::step_scale(gradient_scale, group.device(), name_);
    if (scale.skip) return;
    const at::Tensor gradient = detail::coalesced_gradient(parameter, name_);
    detail::divide_values(gradient, scale);
    read_lr(group);
    AdagradRules::Slot& slot = group.slots[i];
    slot.step.add_(1);
    const AdagradOptions& o = group.options;
    const double rate = rate_of(o, slot.step.item<double>());
    const auto on_rows = [&]<class T>(const detail::SparseRows& rows, T) {
      const AdagradRowFactors<T> factors{
          .direction = static_cast<T>(o.maximize ? -1 : 1), .eps = static_cast<T>(o.eps), .lr = static_cast<T>(rate)};
      detail::run_rows<AdagradRowKernel, T>(rows, parameter.tensor, gradient, {slot.sum}, factors);
    };
    if (detail::dispatch_rows(parameter.tensor, gradient, on_rows)) return;
    const at::Tensor values = gradient._values();
    slot.sum.add_(detail::with_values(gradient, values * values));
    const at::Tensor deviation = slot.sum.sparse_mask(gradient)._values().sqrt_().add_(o.eps);
    parameter.tensor.add_(detail::with_values(gradient, values / deviation), o.maximize ? rate : -rate);
  }
};

}  // namespace

Adagrad::Adagrad(AdagradOptions options)
    : OptionsRecipe(detail::checked_options<AdagradRules>(options), detail::bind_optimizer<BoundAdagrad>,
                    detail::describe_recipe<BoundAdagrad>) {}

}  // namespace athanor::optim
