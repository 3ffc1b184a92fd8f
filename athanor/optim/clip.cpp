// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/clip.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/host_scalar.hpp"
#include "athanor/core/parallel.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/sum_of_squares.hpp"

namespace athanor {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
/// As in `clip_grad_norm_`.
constexpr double norm_epsilon = 1e-6;

template <class Visit>
void each_gradient(const Parameters& parameters, const Visit& visit) {
  for (const Parameter& parameter : parameters) {
    const at::Tensor& gradient = parameter.tensor.grad();
    if (!gradient.defined()) continue;
    if (gradient.layout() == c10::kStrided) {
      if (gradient.numel() > 0) visit(gradient);
      continue;
    }
    if (gradient.layout() != c10::kSparse) {
      throw Error({.what = "a gradient of this layout can't be clipped or checked",
                   .where = parameter.name,
                   .expected = "a dense one, or a sparse one as an embedding makes it"});
    }
    // Rows that come twice are added first: their sum is the gradient.
    if (!gradient.is_coalesced()) parameter.tensor.mutable_grad() = gradient.coalesce();
    const at::Tensor values = parameter.tensor.grad()._values();
    if (values.numel() > 0) visit(values);
  }
}

std::vector<at::Tensor> gradients_of(const Parameters& parameters) {
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters.size());
  each_gradient(parameters, [&](const at::Tensor& gradient) { gradients.push_back(gradient); });
  return gradients;
}

void check_loss_scale(const at::Tensor& loss_scale) {
  if (!loss_scale.defined() || (loss_scale.scalar_type() == at::kFloat && loss_scale.numel() == 1)) return;
  throw Error({.what = "a loss scale has the wrong dtype or shape",
               .where = "prepare_step",
               .got = describe(loss_scale),
               .expected = "float32 ()"});
}

bool has_kernel(const at::Tensor& gradient) {
  return (gradient.scalar_type() == at::kFloat || gradient.scalar_type() == at::kDouble) &&
         gradient.is_non_overlapping_and_dense();
}

/// A stretch of one gradient's memory. Where it begins and ends depends on the sizes of the tensors alone.
struct Stretch {
  /// How many numbers lie before it, in all gradients.
  int64_t place;
  const void* values;
  int64_t count;
  bool is_double;
  double result = 0;
};

/// Fewer numbers are read faster than another thread is woken.
constexpr int64_t longest = int64_t{1} << 16;

double squares_in(const Stretch& s) {
  return s.is_double ? sum_of_squares(static_cast<const double*>(s.values), s.count)
                     : sum_of_squares(static_cast<const float*>(s.values), s.count);
}

/// Of all gradients that have a kernel.
double sum_of_squares_of(const std::vector<at::Tensor>& gradients) {
  std::vector<Stretch> stretches;
  stretches.reserve(gradients.size());
  int64_t total = 0;
  for (const at::Tensor& gradient : gradients) {
    if (!has_kernel(gradient)) continue;
    const auto* first = static_cast<const char*>(gradient.const_data_ptr());
    const int64_t size = gradient.numel();
    for (int64_t begin = 0; begin < size; begin += longest) {
      stretches.push_back({total + begin, first + static_cast<size_t>(begin) * gradient.element_size(),
                           std::min(longest, size - begin), gradient.scalar_type() == at::kDouble});
    }
    total += size;
  }
  parallel_for(total, longest, [&](int64_t begin, int64_t end) {
    const auto from = std::ranges::lower_bound(stretches, begin, {}, &Stretch::place);
    const auto to = std::ranges::lower_bound(stretches, end, {}, &Stretch::place);
    for (auto stretch = from; stretch != to; ++stretch) stretch->result = squares_in(*stretch);
  });
  double sum = 0;
  for (const Stretch& stretch : stretches) sum += stretch.result;
  return sum;
}

double norm_by_libtorch(const at::Tensor& gradient, double norm_type) {
  const bool is_reduced = gradient.scalar_type() == at::kHalf || gradient.scalar_type() == at::kBFloat16;
  return at::linalg_vector_norm(gradient, norm_type, at::OptionalIntArrayRef(), /*keepdim=*/false,
                                is_reduced ? at::kFloat : gradient.scalar_type())
      .item<double>();
}

double norm_on_cpu(const std::vector<at::Tensor>& gradients, double norm_type) {
  double norm = norm_type == 2 ? sum_of_squares_of(gradients) : 0;
  for (const at::Tensor& gradient : gradients) {
    if (norm_type == 2 && has_kernel(gradient)) continue;
    const double part = norm_by_libtorch(gradient, norm_type);
    if (norm_type == 2) {
      norm += part * part;
    } else if (norm_type == 1) {
      norm += part;
    } else if (!(part <= norm)) {
      norm = std::isnan(norm) ? norm : part;
    }
  }
  return norm_type == 2 ? std::sqrt(norm) : norm;
}

template <class T>
bool all_finite_in(const at::Tensor& gradient) {
  const auto* values = gradient.const_data_ptr<T>();
  if (gradient.numel() < 2 * longest) return all_finite(values, gradient.numel());
  std::atomic<bool> finite = true;
  parallel_for(gradient.numel(), longest, [&](int64_t begin, int64_t end) {
    if (!all_finite(values + begin, end - begin)) finite = false;
  });
  return finite;
}

bool is_finite(const at::Tensor& gradient) {
  if (!has_kernel(gradient)) return std::isfinite(norm_by_libtorch(gradient, infinity));
  return gradient.scalar_type() == at::kDouble ? all_finite_in<double>(gradient) : all_finite_in<float>(gradient);
}

PreparedStep prepare_on_cpu(const std::vector<at::Tensor>& gradients, const Clip& clip, const at::Tensor& loss_scale,
                            bool check_finite) {
  PreparedStep result;
  result.scale.divisor = loss_scale;
  const double unscale = loss_scale.defined() ? read_host_scalar(loss_scale) : 1.0;
  double divisor = unscale;
  bool finite = true;
  if (clip.norm) {
    const double norm = norm_on_cpu(gradients, clip.norm_type) / unscale;
    finite = std::isfinite(static_cast<float>(norm));
    result.norm = make_host_scalar(static_cast<float>(norm));
    const double factor = (norm + norm_epsilon) / *clip.norm;
    if (finite && factor > 1) {
      divisor *= factor;
      result.scale.divisor = make_host_scalar(static_cast<float>(divisor));
    }
  } else if (check_finite) {
    finite = std::ranges::all_of(gradients, is_finite);
  }
  if (clip.norm || check_finite) result.scale.found_inf = make_host_scalar(finite ? 0 : 1);
  if (clip.value && finite) {
    const double limit = *clip.value * divisor;
    for (at::Tensor gradient : gradients) at::clamp_(gradient, -limit, limit);
  }
  return result;
}

bool is_on_cpu(const Parameters& parameters, const at::Tensor& loss_scale) {
  return (!loss_scale.defined() || loss_scale.is_cpu()) && std::ranges::all_of(parameters, [](const Parameter& each) {
           const at::Tensor& gradient = each.tensor.grad();
           return !gradient.defined() || gradient.is_cpu();
         });
}

/// float32 scalar on the device of the first gradient.
at::Tensor norm_by_operators(const std::vector<at::Tensor>& gradients, double norm_type) {
  const at::Device device = gradients.front().device();
  std::vector<at::Tensor> norms;
  for (auto begin = gradients.begin(); begin != gradients.end();) {
    const auto end = std::find_if(begin, gradients.end(),
                                  [&](const at::Tensor& gradient) { return gradient.device() != begin->device(); });
    for (const at::Tensor& norm : at::_foreach_norm(std::vector<at::Tensor>(begin, end), norm_type))
      norms.push_back(norm.to(device, at::kFloat, /*non_blocking=*/true));
    begin = end;
  }
  return at::linalg_vector_norm(at::stack(norms), norm_type);
}

PreparedStep prepare_by_operators(const std::vector<at::Tensor>& gradients, const Clip& clip,
                                  const at::Tensor& loss_scale, bool check_finite) {
  PreparedStep result;
  result.scale.divisor = loss_scale;
  if (clip.norm) {
    result.norm = norm_by_operators(gradients, clip.norm_type);
    if (loss_scale.defined()) result.norm = result.norm / loss_scale;
    const at::Tensor factor = ((result.norm + norm_epsilon) / *clip.norm).clamp_min(1);
    result.scale.divisor = loss_scale.defined() ? factor * loss_scale : factor;
  }
  if (clip.norm || check_finite) {
    // The largest magnitude: unlike a sum of squares it is finite when all numbers are.
    const at::Tensor seen = clip.norm ? result.norm : norm_by_operators(gradients, infinity);
    result.scale.found_inf = at::isfinite(seen).logical_not().to(at::kFloat);
  }
  if (clip.value) {
    for (at::Tensor gradient : gradients) {
      if (result.scale.divisor.defined()) {
        const at::Tensor limit = result.scale.divisor.to(gradient.device()) * *clip.value;
        at::clamp_(gradient, -limit, limit);
      } else {
        at::clamp_(gradient, -*clip.value, *clip.value);
      }
    }
  }
  return result;
}

/// Without gradients: a norm of 0, nothing found.
PreparedStep prepare_nothing(const Clip& clip, const at::Tensor& loss_scale, bool check_finite) {
  const at::Device device = loss_scale.defined() ? loss_scale.device() : at::Device(at::kCPU);
  PreparedStep result;
  result.scale.divisor = loss_scale;
  const auto zero = [&] { return at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(device)); };
  if (clip.norm) result.norm = zero();
  if (clip.norm || check_finite) result.scale.found_inf = zero();
  return result;
}

}  // namespace

void check_clip(const Clip& clip, const std::string& where) {
  auto require = [&](bool ok, const char* option, double value, const char* expected) {
    if (ok) return;
    throw Error({.what = "an option of clipping is out of range",
                 .where = where + ", " + option,
                 .got = format_number(value),
                 .expected = expected});
  };
  if (clip.norm) require(*clip.norm >= 0, "norm", *clip.norm, "0 or more");
  if (clip.value) require(*clip.value >= 0, "value", *clip.value, "0 or more");
  const bool known = clip.norm_type == 2 || clip.norm_type == 1 || clip.norm_type == infinity;
  require(known, "norm_type", clip.norm_type, "2, 1, or infinity");
}

bool gradients_are_finite(const Parameters& parameters) {
  at::NoGradGuard no_grad;
  bool finite = true;
  each_gradient(parameters, [&](const at::Tensor& gradient) { finite = finite && is_finite(gradient); });
  return finite;
}

PreparedStep prepare_step(const Parameters& parameters, const std::optional<Clip>& clip, const at::Tensor& loss_scale,
                          bool check_finite) {
  at::NoGradGuard no_grad;
  const Clip options = clip.value_or(Clip{});
  check_clip(options, "prepare_step");
  check_loss_scale(loss_scale);
  if (!options.norm && !options.value && !check_finite) return {.norm = {}, .scale = {.divisor = loss_scale}};
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  if (gradients.empty()) return prepare_nothing(options, loss_scale, check_finite);
  return is_on_cpu(parameters, loss_scale) ? prepare_on_cpu(gradients, options, loss_scale, check_finite)
                                           : prepare_by_operators(gradients, options, loss_scale, check_finite);
}

PreparedStep prepare_step_by_operators(const Parameters& parameters, const std::optional<Clip>& clip,
                                       const at::Tensor& loss_scale, bool check_finite) {
  at::NoGradGuard no_grad;
  const Clip options = clip.value_or(Clip{});
  check_clip(options, "prepare_step");
  check_loss_scale(loss_scale);
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  if (gradients.empty()) return prepare_nothing(options, loss_scale, check_finite);
  return prepare_by_operators(gradients, options, loss_scale, check_finite);
}

}  // namespace athanor
