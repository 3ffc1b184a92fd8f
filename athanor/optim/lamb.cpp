// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/lamb.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/parallel.hpp"
#include "athanor/optim/divided.hpp"
#include "athanor/optim/sum_of_squares.hpp"

namespace athanor::optim {
namespace {

struct LAMBRules {
  static constexpr const char* name = "LAMB";
  using Options = LAMBOptions;

  template <class Visitor>
  static void walk(LAMBOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("betas", o.betas, &GroupOptions::betas, detail::below_one);
    visit("eps", o.eps, &GroupOptions::eps, detail::zero_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("norm_range", o.norm_range, &GroupOptions::norm_range, detail::zero_or_more);
    visit("maximize", o.maximize, &GroupOptions::maximize);
  }
  static void check_together(const LAMBOptions& o, const std::string& optimizer) {
    detail::require(o.norm_range[0] <= o.norm_range[1], optimizer, "norm_range", o.norm_range[1],
                    "the second at least the first");
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
  static Slot make_slot(const LAMBOptions&, const at::Tensor& parameter) {
    return {make_host_scalar(), detail::make_moment(parameter), detail::make_moment(parameter)};
  }
};

struct LAMBScalars {
  double bias_correction1, bias_correction2;
};

template <class T>
struct LAMBNumbers {
  T* weights;
  const T* gradient;
  T* exp_avg;
  T* exp_avg_sq;
};

template <class T>
struct LAMBFactors {
  T direction, beta1, gain1, beta2, gain2, bias_correction1, bias_correction2, eps, weight_decay;
};

template <class T>
ATHANOR_PACK detail::Pack<T> lamb_direction(const LAMBFactors<T>& f, detail::Pack<T> p, detail::Pack<T> exp_avg,
                                            detail::Pack<T> exp_avg_sq) {
  const detail::Pack<T> r = exp_avg / f.bias_correction1 / (root(exp_avg_sq / f.bias_correction2) + f.eps);
  return f.weight_decay != 0 ? multiply_add(f.weight_decay, p, r) : r;
}

/// So many numbers that a second look at them finds them in the cache.
constexpr int64_t lamb_block = 1024;

/// Steps the moments, and writes the directions of a block.
template <class T>
ATHANOR_PACK_ENTRY void lamb_moments(const LAMBFactors<T>& f, const LAMBNumbers<T>& at, int64_t begin, int64_t end,
                                     T* directions) {
  using P = detail::Pack<T>;
  for (int64_t i = begin; i < end; i += P::size) {
    const int64_t count = std::min(P::size, end - i);
    const bool whole = count == P::size;
    const P g = (whole ? P::load(at.gradient + i) : P::load(at.gradient + i, count)) * f.direction;
    P m = whole ? P::load(at.exp_avg + i) : P::load(at.exp_avg + i, count);
    P v = whole ? P::load(at.exp_avg_sq + i) : P::load(at.exp_avg_sq + i, count);
    const P p = whole ? P::load(at.weights + i) : P::load(at.weights + i, count);
    m = multiply_add(f.gain1, g, m * f.beta1);
    v = addcmul(v * f.beta2, g, g, f.gain2);
    const P r = lamb_direction(f, p, m, v);
    whole ? m.store(at.exp_avg + i) : m.store(at.exp_avg + i, count);
    whole ? v.store(at.exp_avg_sq + i) : v.store(at.exp_avg_sq + i, count);
    whole ? r.store(directions + (i - begin)) : r.store(directions + (i - begin), count);
  }
}

template <class T>
ATHANOR_PACK_ENTRY void lamb_weights(const LAMBFactors<T>& f, const LAMBNumbers<T>& at, int64_t begin, int64_t end,
                                     T step) {
  using P = detail::Pack<T>;
  int64_t i = begin;
  for (; i + P::size <= end; i += P::size) {
    const P p = P::load(at.weights + i);
    multiply_add(-step, lamb_direction(f, p, P::load(at.exp_avg + i), P::load(at.exp_avg_sq + i)), p)
        .store(at.weights + i);
  }
  if (i == end) return;
  const int64_t count = end - i;
  const P p = P::load(at.weights + i, count);
  multiply_add(-step, lamb_direction(f, p, P::load(at.exp_avg + i, count), P::load(at.exp_avg_sq + i, count)), p)
      .store(at.weights + i, count);
}

/// The factor of the learning rate.
double lamb_ratio(const LAMBOptions& o, double weight_norm, double direction_norm) {
  if (!(weight_norm > 0) || !(direction_norm > 0)) return 1;
  return std::clamp(weight_norm, o.norm_range[0], o.norm_range[1]) / direction_norm;
}

template <class T>
void lamb_in_cache(const LAMBOptions& o, const LAMBScalars& scalars, const LAMBNumbers<T>& at, int64_t size) {
  const LAMBFactors<T> factors{.direction = static_cast<T>(o.maximize ? -1 : 1),
                               .beta1 = static_cast<T>(o.betas[0]),
                               .gain1 = static_cast<T>(1 - o.betas[0]),
                               .beta2 = static_cast<T>(o.betas[1]),
                               .gain2 = static_cast<T>(1 - o.betas[1]),
                               .bias_correction1 = static_cast<T>(scalars.bias_correction1),
                               .bias_correction2 = static_cast<T>(scalars.bias_correction2),
                               .eps = static_cast<T>(o.eps),
                               .weight_decay = static_cast<T>(o.weight_decay)};
  const int64_t blocks = (size + lamb_block - 1) / lamb_block;
  std::vector<double> weight_squares(static_cast<size_t>(blocks)), direction_squares(static_cast<size_t>(blocks));
  constexpr int64_t blocks_worth_a_thread = 16;
  parallel_for(blocks, blocks_worth_a_thread, [&](int64_t first, int64_t last) {
    std::array<T, lamb_block> directions;
    for (int64_t block = first; block < last; ++block) {
      const int64_t begin = block * lamb_block, end = std::min(size, begin + lamb_block);
      lamb_moments(factors, at, begin, end, directions.data());
      weight_squares[static_cast<size_t>(block)] = sum_of_squares(at.weights + begin, end - begin);
      direction_squares[static_cast<size_t>(block)] = sum_of_squares(directions.data(), end - begin);
    }
  });
  double weight_square = 0, direction_square = 0;
  for (size_t block = 0; block < static_cast<size_t>(blocks); ++block) {
    weight_square += weight_squares[block];
    direction_square += direction_squares[block];
  }
  const auto step = static_cast<T>(o.lr * lamb_ratio(o, std::sqrt(weight_square), std::sqrt(direction_square)));
  parallel_for(blocks, blocks_worth_a_thread, [&](int64_t first, int64_t last) {
    lamb_weights(factors, at, first * lamb_block, std::min(size, last * lamb_block), step);
  });
}

/// Norms stay on their device.
void lamb_by_operators(const LAMBOptions& o, const LAMBScalars& scalars, const at::Tensor& parameter,
                       const at::Tensor& raw_gradient, const LAMBRules::Slot& slot) {
  const at::Tensor gradient = o.maximize ? -raw_gradient : raw_gradient;
  detail::scale(slot.exp_avg, o.betas[0]);
  slot.exp_avg.add_(gradient, 1 - o.betas[0]);
  detail::scale(slot.exp_avg_sq, o.betas[1]);
  slot.exp_avg_sq.addcmul_(gradient, gradient, 1 - o.betas[1]);
  const at::Tensor deviation = slot.exp_avg_sq.div(scalars.bias_correction2).sqrt_().add_(o.eps);
  at::Tensor direction = slot.exp_avg.div(scalars.bias_correction1).div_(deviation);
  if (o.weight_decay != 0) direction.add_(parameter, o.weight_decay);
  const at::ScalarType wide = parameter.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor weight_norm = at::linalg_vector_norm(parameter, 2, std::nullopt, false, wide);
  const at::Tensor direction_norm = at::linalg_vector_norm(direction, 2, std::nullopt, false, wide);
  const at::Tensor ratio =
      at::where(weight_norm.gt(0).logical_and(direction_norm.gt(0)),
                weight_norm.clamp(o.norm_range[0], o.norm_range[1]) / direction_norm, at::ones_like(weight_norm));
  parameter.add_(direction.mul_((ratio * -o.lr).to(parameter.scalar_type())));
}

class BoundLAMB final : public detail::DividedOptimizer<LAMBRules> {
 public:
  BoundLAMB(const LAMBOptions& options, const ParameterGroups& groups) : DividedOptimizer(options, groups) {}

 private:
  void step_divided(Group& group) override {
    for (size_t i = 0; i < group.parameters.size(); ++i) step_one(group, i);
  }

  static void step_one(Group& group, size_t i) {
    const at::Tensor& parameter = group.parameters[i].tensor;
    const at::Tensor& gradient = parameter.grad();
    if (!gradient.defined() || parameter.numel() == 0) return;
    LAMBRules::Slot& slot = group.slots[i];
    const LAMBOptions& o = group.options;
    const double step = detail::host_scalar(slot.step) += 1;
    const LAMBScalars scalars{.bias_correction1 = 1 - std::pow(o.betas[0], step),
                              .bias_correction2 = 1 - std::pow(o.betas[1], step)};
    const bool has_kernel = parameter.is_cpu() && detail::has_packs();
    if (has_kernel && parameter.scalar_type() == at::kFloat) {
      lamb_in_cache(o, scalars, numbers_of<float>(parameter, gradient, slot), parameter.numel());
    } else if (has_kernel && parameter.scalar_type() == at::kDouble) {
      lamb_in_cache(o, scalars, numbers_of<double>(parameter, gradient, slot), parameter.numel());
    } else {
      lamb_by_operators(o, scalars, parameter, gradient, slot);
      return;
    }
    parameter.unsafeGetTensorImpl()->bump_version();
  }

  template <class T>
  static LAMBNumbers<T> numbers_of(const at::Tensor& parameter, const at::Tensor& gradient, LAMBRules::Slot& slot) {
    return {static_cast<T*>(parameter.mutable_data_ptr()), static_cast<const T*>(gradient.const_data_ptr()),
            static_cast<T*>(slot.exp_avg.mutable_data_ptr()), static_cast<T*>(slot.exp_avg_sq.mutable_data_ptr())};
  }
};

}  // namespace

LAMB::LAMB(LAMBOptions options)
    : OptionsRecipe(detail::checked_options<LAMBRules>(options), detail::bind_optimizer<BoundLAMB>,
                    detail::describe_recipe<BoundLAMB>) {}

}  // namespace athanor::optim
