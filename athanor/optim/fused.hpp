// SPDX-License-Identifier: Apache-2.0
// What our optimizers share: checks of parameters, gradients and options, and what a GradientScale means.
#pragma once

#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/optimizer.hpp"

namespace athanor::optim::detail {

[[noreturn]] void refuse_field(Optimizer::Field field, const std::string& optimizer);
[[noreturn]] void refuse_group(size_t group, size_t groups, const std::string& optimizer);

/// All parameters of the groups in one list. Throws Error for a group without parameters, a tensor that is not a dense
/// floating-point leaf that requires a gradient, a tensor in two places, a name that two parameters share, and a group
/// that lies on several devices.
Parameters flatten(const ParameterGroups& groups, const std::string& optimizer);

/// Throws Error unless `ok`: an option out of its range.
void require(bool ok, const std::string& optimizer, const char* option, double value, const char* expected);

/// A GradientScale as the kernels take it, on the device of a group.
struct KernelScale {
  bool skip = false;  ///< Known on the host: nothing is to be done. Only where `found_inf` lies on the CPU.
  std::optional<at::Tensor> divisor = {};
  std::optional<at::Tensor> found_inf = {};  ///< 0 or 1, because the kernels skip for exactly 1.
};
/// Throws Error for a part that is not a float32 scalar. A divisor of 1 on the CPU is left out, because the kernel
/// would write the gradients back.
KernelScale kernel_scale(const GradientScale& scale, at::Device device, const std::string& optimizer);

/// Adds 1 to every step counter unless the step is skipped: on the CPU directly, elsewhere on the device.
void count_steps(std::vector<at::Tensor>& steps, const KernelScale& scale);

/// Counts the versions of tensors that a kernel has written up, so that a graph that has kept one of them tells: the
/// fused kernels don't, in Python neither. Gradients are written by a divisor alone.
void tell_graphs(const std::vector<at::Tensor>& parameters, const std::vector<at::Tensor>& gradients,
                 const KernelScale& scale);

/// A float32 scalar 0 beside `parameter`, as the fused kernels expect a step counter.
at::Tensor make_step_counter(const at::Tensor& parameter);

/// Zeros with the layout of `parameter`.
at::Tensor make_moment(const at::Tensor& parameter);

/// The gradient, checked: dense, of the shape and dtype of its parameter. One with other strides is replaced by a copy
/// with those of the parameter. Call it without gradient mode.
const at::Tensor& checked_gradient(const Parameter& parameter, const std::string& optimizer);

/// Throws Error unless `lr` is a float32 scalar on the CPU or on `device`.
void check_lr_tensor(const at::Tensor& lr, at::Device device, const std::string& optimizer);

}  // namespace athanor::optim::detail
