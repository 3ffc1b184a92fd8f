// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/adafactor.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/norm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "athanor/optim/adafactor_kernel.hpp"
#include "athanor/optim/divided.hpp"

namespace athanor::optim {
namespace {

struct AdafactorRules {
  static constexpr const char* name = "Adafactor";
  using Options = AdafactorOptions;

  template <class Visitor>
  static void walk(AdafactorOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("beta2_decay", o.beta2_decay, &GroupOptions::beta2_decay, detail::zero_or_less);
    visit("eps1", o.eps1, &GroupOptions::eps1, detail::zero_or_more);
    visit("eps2", o.eps2, &GroupOptions::eps2, detail::zero_or_more);
    visit("d", o.d, &GroupOptions::d, detail::one_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }

  struct Slot {
    at::Tensor step;
    at::Tensor row_var;
    at::Tensor col_var;
    at::Tensor variance;
    void state(State& state) {
      state.tensor("step", step);
      if (row_var.defined()) state.tensor("row_var", row_var);
      if (col_var.defined()) state.tensor("col_var", col_var);
      if (variance.defined()) state.tensor("variance", variance);
    }
  };
  static Slot make_slot(const AdafactorOptions&, const at::Tensor& parameter) {
    Slot slot{.step = make_host_scalar(), .row_var = {}, .col_var = {}, .variance = {}};
    if (parameter.dim() < 2) {
      slot.variance = detail::make_moment(parameter);
      return slot;
    }
    std::vector<int64_t> rows = parameter.sizes().vec(), columns = rows;
    rows.back() = 1;
    columns.end()[-2] = 1;
    slot.row_var = at::zeros(rows, parameter.options().requires_grad(false));
    slot.col_var = at::zeros(columns, parameter.options().requires_grad(false));
    return slot;
  }
};

double unit_roundoff(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return std::numeric_limits<double>::epsilon();
    case at::kHalf:
      return std::numeric_limits<c10::Half>::epsilon();
    case at::kBFloat16:
      return std::numeric_limits<c10::BFloat16>::epsilon();
    default:
      return std::numeric_limits<float>::epsilon();
  }
}

double norm_of(const at::Tensor& tensor) { return at::norm(tensor, 2).item<double>(); }

template <class T>
void step_in_cache(const at::Tensor& parameter, AdafactorRules::Slot& slot, const detail::AdafactorScalars& scalars) {
  const auto numbers = [](const at::Tensor& tensor) {
    return tensor.defined() ? static_cast<T*>(tensor.mutable_data_ptr()) : nullptr;
  };
  const bool is_vector = parameter.dim() < 2;
  const int64_t columns = is_vector ? parameter.numel() : parameter.size(-1);
  const int64_t rows = is_vector ? 1 : parameter.size(-2);
  detail::adafactor_step({.count = parameter.numel() / (rows * columns), .rows = rows, .columns = columns},
                         detail::AdafactorTensors<T>{.weights = numbers(parameter),
                                                     .gradient = numbers(parameter.grad()),
                                                     .row_var = numbers(slot.row_var),
                                                     .col_var = numbers(slot.col_var),
                                                     .variance = numbers(slot.variance)},
                         scalars);
  parameter.unsafeGetTensorImpl()->bump_version();
}

void step_by_operators(const at::Tensor& parameter, AdafactorRules::Slot& slot,
                       const detail::AdafactorScalars& scalars) {
  const at::Tensor gradient = scalars.direction < 0 ? -parameter.grad() : parameter.grad();
  const double root_numbers = std::sqrt(static_cast<double>(parameter.numel()));
  const double alpha = std::max(scalars.eps2, norm_of(parameter) / root_numbers) * scalars.rho;
  if (scalars.shrink != 1) detail::scale(parameter, scalars.shrink);
  at::Tensor update;
  if (slot.variance.defined()) {
    slot.variance.lerp_(gradient * gradient, scalars.one_minus_beta2);
    update = slot.variance.clone();
  } else {
    const auto mean_square = [&](int64_t dim) {
      return at::norm(gradient, 2, {dim}, /*keepdim=*/true).square_().div_(gradient.size(dim));
    };
    slot.row_var.lerp_(mean_square(-1), scalars.one_minus_beta2);
    slot.col_var.lerp_(mean_square(-2), scalars.one_minus_beta2);
    update = at::matmul(slot.row_var, slot.col_var);
    update.div_(slot.row_var.mean(at::IntArrayRef({-2}), /*keepdim=*/true).clamp_min_(scalars.eps1));
  }
  update.clamp_min_(scalars.eps1 * scalars.eps1).rsqrt_().mul_(gradient);
  const double denominator = std::max(1.0, norm_of(update) / (root_numbers * scalars.d));
  parameter.add_(update, -alpha / denominator);
}

class BoundAdafactor final : public detail::DividedOptimizer<AdafactorRules> {
 public:
  BoundAdafactor(const AdafactorOptions& options, const ParameterGroups& groups) : DividedOptimizer(options, groups) {}

 private:
  void step_divided(Group& group) override {
    for (size_t i = 0; i < group.parameters.size(); ++i) step_one(group, i);
  }

  static void step_one(Group& group, size_t i) {
    const at::Tensor& parameter = group.parameters[i].tensor;
    if (!parameter.grad().defined() || parameter.numel() == 0) return;
    AdafactorRules::Slot& slot = group.slots[i];
    const AdafactorOptions& o = group.options;
    const double step = detail::host_scalar(slot.step) += 1;
    const detail::AdafactorScalars scalars{.one_minus_beta2 = std::pow(step, o.beta2_decay),
                                           .eps1 = o.eps1.value_or(unit_roundoff(parameter.scalar_type())),
                                           .eps2 = o.eps2,
                                           .rho = std::min(o.lr, 1 / std::sqrt(step)),
                                           .shrink = 1 - o.lr * o.weight_decay,
                                           .d = o.d,
                                           .direction = o.maximize ? -1.0 : 1.0};
    const bool has_kernel = parameter.is_cpu() && detail::has_packs() && parameter.is_contiguous();
    if (has_kernel && parameter.scalar_type() == at::kFloat) {
      step_in_cache<float>(parameter, slot, scalars);
    } else if (has_kernel && parameter.scalar_type() == at::kDouble) {
      step_in_cache<double>(parameter, slot, scalars);
    } else {
      step_by_operators(parameter, slot, scalars);
    }
  }
};

}  // namespace

Adafactor::Adafactor(AdafactorOptions options)
    : OptionsRecipe(detail::checked_options<AdafactorRules>(options), detail::bind_optimizer<BoundAdafactor>,
                    detail::describe_recipe<BoundAdafactor>) {}

}  // namespace athanor::optim
