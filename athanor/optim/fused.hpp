// SPDX-License-Identifier: Apache-2.0
// What our fused optimizers share: groups with resolved options, lists of tensors as the kernels take them, state.
#pragma once

#include <cstring>
#include <set>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/optimizer.hpp"

namespace athanor::optim::detail {

/// All parameters of the groups in one list. Throws Error for a group without parameters, a tensor that is not a dense
/// floating-point leaf that requires a gradient, a tensor in two places, a name that two parameters share, and a group
/// that lies on several devices.
Parameters flatten(const ParameterGroups& groups, const std::string& optimizer);

/// Throws Error unless `ok`: an option out of its range.
void require(bool ok, const std::string& optimizer, const char* option, double value, const char* expected);
/// Throws Error when a group sets an option that the optimizer does not have.
void refuse_option(bool is_set, const std::string& optimizer, const char* option);

/// Adds 1 to every step counter: on the CPU directly, elsewhere by one operator on the device.
void count_steps(std::vector<at::Tensor>& steps);

/// A float32 scalar 0 beside `parameter`, as the fused kernels expect a step counter.
at::Tensor make_step_counter(const at::Tensor& parameter);

/// Zeros with the layout of `parameter`.
at::Tensor make_moment(const at::Tensor& parameter);

/// The gradient, checked: dense, of the shape and dtype of its parameter. One with other strides is replaced by a copy
/// with those of the parameter. Call it without gradient mode.
const at::Tensor& checked_gradient(const Parameter& parameter, const std::string& optimizer);

}  // namespace athanor::optim::detail
