// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/fused.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <set>

#include "athanor/core/error.hpp"
#include "athanor/core/host_scalar.hpp"
#include "athanor/optim/options_walk.hpp"

namespace athanor::optim::detail {

namespace {

/// Why the kernels can't work on a tensor; empty when they can.
std::string fault_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return ", without a value";
  if (!tensor.is_leaf()) return ", the result of an operator";
  if (!tensor.requires_grad()) return ", without requires_grad";
  if (!tensor.is_floating_point()) return ", not real";
  if (tensor.layout() != c10::kStrided || !tensor.is_non_overlapping_and_dense())
    return ", a view with gaps or a sparse tensor";
  return {};
}

}  // namespace

Parameters flatten(const ParameterGroups& groups, const std::string& optimizer) {
  Parameters all;
  std::set<const void*> tensors;
  std::set<std::string> names;
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::string where = optimizer + ", group " + std::to_string(g);
    if (groups[g].parameters.empty()) {
      throw Error({.what = "an optimizer has nothing to train",
                   .where = where,
                   .got = "no parameters that require a gradient",
                   .todo = "give it the parameters of a net that is not frozen"});
    }
    for (const Parameter& parameter : groups[g].parameters) {
      const at::Tensor& tensor = parameter.tensor;
      if (const std::string fault = fault_of(tensor); !fault.empty()) {
        throw Error({.what = "an optimizer can't train this tensor",
                     .where = where + ", " + parameter.name,
                     .got = describe(tensor) + fault,
                     .expected = "a dense floating-point leaf that requires a gradient"});
      }
      const at::Tensor& first = groups[g].parameters.front().tensor;
      if (tensor.device() != first.device() || (!tensor.is_cpu() && tensor.scalar_type() != first.scalar_type())) {
        throw Error({.what = "the parameters of one group differ in device or dtype",
                     .where = where + ", " + parameter.name,
                     .got = describe(tensor),
                     .expected = describe(first) + ", as the first of the group",
                     .todo = "make a group of each kind"});
      }
      if (!tensors.insert(tensor.unsafeGetTensorImpl()).second || !names.insert(parameter.name).second) {
        throw Error({.what = "a parameter appears twice in an optimizer",
                     .where = where,
                     .got = parameter.name,
                     .expected = "every tensor once, every name once",
                     .todo = "take the parameters of the outermost module only, or put a prefix before the names"});
      }
      all.push_back(parameter);
    }
  }
  if (all.empty()) throw Error({.what = "an optimizer has nothing to train", .where = optimizer});
  return all;
}

void require(bool ok, const std::string& optimizer, const char* option, double value, const char* expected) {
  if (ok) return;
  throw Error({.what = "an option of an optimizer is out of range",
               .where = optimizer + ", " + option,
               .got = format_number(value),
               .expected = expected});
}

void refuse_field(Optimizer::Field field, const std::string& optimizer) {
  throw Error({.what = "this optimizer has no field of that name", .where = optimizer, .got = name_of(field)});
}

void refuse_group(size_t group, size_t groups, const std::string& optimizer) {
  throw Error({.what = "an optimizer has no group of that number",
               .where = optimizer,
               .got = std::to_string(group),
               .expected = "0 to " + std::to_string(groups - 1)});
}

namespace {

void check_scalar(const at::Tensor& tensor, const char* name, const std::string& optimizer) {
  if (tensor.scalar_type() == at::kFloat && tensor.numel() == 1) return;
  throw Error({.what = "a part of a GradientScale has the wrong dtype or shape",
               .where = optimizer + ", " + name,
               .got = describe(tensor),
               .expected = "float32 ()"});
}

}  // namespace

KernelScale kernel_scale(const GradientScale& scale, at::Device device, const std::string& optimizer) {
  KernelScale result;
  if (scale.found_inf.defined()) {
    check_scalar(scale.found_inf, "found_inf", optimizer);
    const at::Tensor found_inf = scale.found_inf.to(device);
    if (found_inf.is_cpu()) {
      result.skip = read_host_scalar(found_inf) != 0;
    } else {
      result.found_inf = found_inf.sign();
    }
  }
  if (scale.divisor.defined()) {
    check_scalar(scale.divisor, "divisor", optimizer);
    at::Tensor divisor = scale.divisor.to(device);
    if (!divisor.is_cpu() || read_host_scalar(divisor) != 1) result.divisor = std::move(divisor);
  }
  return result;
}

void count_steps(std::vector<at::Tensor>& steps, const KernelScale& scale) {
  if (steps.empty()) return;
  if (steps.front().is_cpu()) {
    for (at::Tensor& step : steps) *static_cast<float*>(step.mutable_data_ptr()) += 1;
  } else if (scale.found_inf) {
    at::_foreach_add_(steps, 1 - *scale.found_inf);
  } else {
    at::_foreach_add_(steps, 1);
  }
}

void tell_graphs(const std::vector<at::Tensor>& parameters, const std::vector<at::Tensor>& gradients,
                 const KernelScale& scale) {
  for (const at::Tensor& parameter : parameters) parameter.unsafeGetTensorImpl()->bump_version();
  if (!scale.divisor) return;
  for (const at::Tensor& gradient : gradients) gradient.unsafeGetTensorImpl()->bump_version();
}

at::Tensor make_step_counter(const at::Tensor& parameter) {
  return at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(parameter.device()));
}

at::Tensor make_moment(const at::Tensor& parameter) { return at::zeros_like(parameter.detach()); }

const at::Tensor& checked_gradient(const Parameter& parameter, const std::string& optimizer) {
  const at::Tensor& gradient = parameter.tensor.grad();
  if (gradient.defined() && gradient.layout() != c10::kStrided) {
    throw Error({.what = "a sparse gradient reached an optimizer for dense ones",
                 .where = optimizer + ", " + parameter.name,
                 .todo = "make the embedding with sparse(false)"});
  }
  if (!gradient.defined()) return gradient;
  const at::Tensor& tensor = parameter.tensor;
  if (gradient.sizes() != tensor.sizes() || gradient.scalar_type() != tensor.scalar_type() ||
      gradient.device() != tensor.device()) {
    throw Error({.what = "a gradient does not fit its parameter",
                 .where = optimizer + ", " + parameter.name,
                 .got = describe(gradient),
                 .expected = describe(tensor)});
  }
  // The kernels walk through the memory of both side by side.
  if (gradient.strides() != tensor.strides()) {
    at::Tensor aligned = at::empty_like(tensor.detach());
    aligned.copy_(gradient);
    tensor.mutable_grad() = std::move(aligned);
  }
  return gradient;
}

void check_lr_tensor(const at::Tensor& lr, at::Device device, const std::string& optimizer) {
  if (lr.defined() && lr.scalar_type() == at::kFloat && lr.numel() == 1 && (lr.is_cpu() || lr.device() == device))
    return;
  throw Error({.what = "a learning rate that is a tensor has the wrong dtype, shape or device",
               .where = optimizer + ", lr",
               .got = describe(lr),
               .expected = "float32 () on the CPU or beside the parameters"});
}

namespace {

/// The names of the options that a group sets. They are those of the members.
std::vector<std::string_view> set_options(const GroupOptions& group) {
  std::vector<std::string_view> names;
  const auto note = [&](std::string_view name, const auto& option) {
    if (option.has_value()) names.push_back(name);
  };
  const auto& [lr, weight_decay, momentum, betas, eps, dampening, nesterov, amsgrad, maximize, decoupled_weight_decay,
               momentum_decay, rho, alpha, centered, etas, step_sizes, lambd, t0, lr_decay, initial_accumulator_value,
               beta2_decay, eps1, eps2, d, ns_coefficients, ns_steps, adjust_lr_fn, norm_range] = group;
  note("lr", lr), note("weight_decay", weight_decay), note("momentum", momentum), note("betas", betas);
  note("eps", eps), note("dampening", dampening), note("nesterov", nesterov), note("amsgrad", amsgrad);
  note("maximize", maximize), note("decoupled_weight_decay", decoupled_weight_decay);
  note("momentum_decay", momentum_decay), note("rho", rho), note("alpha", alpha), note("centered", centered);
  note("etas", etas), note("step_sizes", step_sizes), note("lambd", lambd), note("t0", t0);
  note("lr_decay", lr_decay), note("initial_accumulator_value", initial_accumulator_value);
  note("beta2_decay", beta2_decay), note("eps1", eps1), note("eps2", eps2), note("d", d);
  note("ns_coefficients", ns_coefficients), note("ns_steps", ns_steps), note("adjust_lr_fn", adjust_lr_fn);
  note("norm_range", norm_range);
  return names;
}

}  // namespace

void refuse_unknown(const GroupOptions& group, const std::vector<std::string_view>& known,
                    const std::string& optimizer) {
  for (const std::string_view name : set_options(group)) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    throw Error({.what = "a group sets an option that its optimizer does not have",
                 .where = optimizer,
                 .got = std::string(name),
                 .todo = "leave it out of GroupOptions"});
  }
}

}  // namespace athanor::optim::detail
