// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/sparse_adam.hpp"

#include <ATen/TensorOperators.h>

#include <cmath>

#include "athanor/optim/sparse_rows.hpp"

namespace athanor::optim {
namespace {

template <class T>
struct SparseAdamFactors {
  T direction, gain1, gain2, eps, rate;
};

struct SparseAdamKernel {
  static constexpr size_t states = 2;
  template <class T>
  using Factors = SparseAdamFactors<T>;

  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> g, detail::Pack<T>& exp_avg,
                                  detail::Pack<T>& exp_avg_sq) {
    g = g * f.direction;
    exp_avg = exp_avg + (g - exp_avg) * f.gain1;
    exp_avg_sq = exp_avg_sq + (g * g - exp_avg_sq) * f.gain2;
    p = p + exp_avg / (root(exp_avg_sq) + f.eps) * -f.rate;
  }
};

struct SparseAdamRules {
  static constexpr const char* name = "SparseAdam";
  using Options = SparseAdamOptions;

  template <class Visitor>
  static void walk(SparseAdamOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("betas", o.betas, &GroupOptions::betas, detail::below_one);
    visit("eps", o.eps, &GroupOptions::eps, detail::above_zero);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    int64_t step = 0;
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
    void state(State& state) {
      state.value("step", step);
      state.tensor("exp_avg", exp_avg);
      state.tensor("exp_avg_sq", exp_avg_sq);
    }
  };
  static Slot make_slot(const SparseAdamOptions&, const at::Tensor& parameter) {
    return {0, detail::make_moment(parameter), detail::make_moment(parameter)};
  }
};

class BoundSparseAdam final : public detail::ScaledOptimizer<SparseAdamRules> {
 public:
  BoundSparseAdam(const SparseAdamOptions& options, const ParameterGroups& groups) : ScaledOptimizer(options, groups) {}

 private:
  void step_group(Group& group, const detail::StepScale& scale) override {
    for (const Parameter& parameter : group.parameters) refuse_dense(parameter);
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      if (!group.parameters[i].tensor.grad().defined()) continue;
      const at::Tensor gradient = detail::coalesced_gradient(group.parameters[i], name_);
      detail::divide_values(gradient, scale);
      step_one(group.options, group.parameters[i].tensor, gradient, group.slots[i]);
    }
  }

  void refuse_dense(const Parameter& parameter) const {
    if (!parameter.tensor.grad().defined() || detail::has_sparse_gradient(parameter)) return;
    throw Error({.what = "a dense gradient reached an optimizer for sparse ones",
                 .where = name_ + ", " + parameter.name,
                 .got = athanor::describe(parameter.tensor.grad()),
                 .expected = "the gradient of an embedding with sparse(true)",
                 .todo = "train this parameter with Adam or AdamW"});
  }

  static void step_one(const SparseAdamOptions& o, const at::Tensor& parameter, const at::Tensor& gradient,
                       SparseAdamRules::Slot& slot) {
    slot.step += 1;
    const at::Tensor values = gradient._values();
    if (values.numel() == 0) return;
    const auto step = static_cast<double>(slot.step);
    const double rate = o.lr * std::sqrt(1 - std::pow(o.betas[1], step)) / (1 - std::pow(o.betas[0], step));
    const auto on_rows = [&]<class T>(const detail::SparseRows& rows, T) {
      const SparseAdamFactors<T> factors{.direction = static_cast<T>(o.maximize ? -1 : 1),
                                         .gain1 = static_cast<T>(1 - o.betas[0]),
                                         .gain2 = static_cast<T>(1 - o.betas[1]),
                                         .eps = static_cast<T>(o.eps),
                                         .rate = static_cast<T>(rate)};
      detail::run_rows<SparseAdamKernel, T>(rows, parameter, gradient, {slot.exp_avg, slot.exp_avg_sq}, factors);
    };
    if (detail::dispatch_rows(parameter, gradient, on_rows)) return;
    const at::Tensor g = o.maximize ? -values : values;
    const at::Tensor old_avg = slot.exp_avg.sparse_mask(gradient)._values();
    const at::Tensor change = g.sub(old_avg);
    detail::scale(change, 1 - o.betas[0]);
    slot.exp_avg.add_(detail::with_values(gradient, change));
    const at::Tensor old_square = slot.exp_avg_sq.sparse_mask(gradient)._values();
    const at::Tensor square_change = g.pow(2).sub_(old_square);
    detail::scale(square_change, 1 - o.betas[1]);
    slot.exp_avg_sq.add_(detail::with_values(gradient, square_change));
    const at::Tensor deviation = (square_change + old_square).sqrt_().add_(o.eps);
    const at::Tensor step_values = (change + old_avg).div_(deviation);
    detail::scale(step_values, -rate);
    parameter.add_(detail::with_values(gradient, step_values));
  }
};

}  // namespace

SparseAdam::SparseAdam(SparseAdamOptions options)
    : OptionsRecipe(detail::checked_options<SparseAdamRules>(options), detail::bind_optimizer<BoundSparseAdam>,
                    detail::describe_recipe<BoundSparseAdam>) {}

}  // namespace athanor::optim
