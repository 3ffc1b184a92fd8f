// SPDX-License-Identifier: Apache-2.0
// What an optimizer works on: named tensors, in groups that may differ in their options.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "athanor/core/tree.hpp"

namespace torch::nn {
class Module;
}

namespace athanor {

/// A trainable tensor and the name under which its state is kept.
struct Parameter {
  std::string name;
  at::Tensor tensor;
};
using Parameters = std::vector<Parameter>;

/// The parameters of a module that require a gradient, named as `named_parameters()` names them.
[[nodiscard]] Parameters parameters_of(const torch::nn::Module& module);
/// Plain tensors; they are called `0`, `1`, …
[[nodiscard]] Parameters parameters_of(const std::vector<at::Tensor>& tensors);
/// Module holders and shared pointers.
template <class M>
requires requires(const M& module) {
  { *module } -> std::convertible_to<const torch::nn::Module&>;
}
[[nodiscard]] Parameters parameters_of(const M& module) {
  return parameters_of(static_cast<const torch::nn::Module&>(*module));
}

/// How `optim::Muon` makes the learning rate fit the shape of a matrix of A rows and B columns.
enum class AdjustLr {
  original,         ///< lr * sqrt(max(1, A / B)), after Keller Jordan.
  match_rms_adamw,  ///< lr * 0.2 * sqrt(max(A, B)): takes the rates and decays that AdamW was tuned with (Moonshot).
};

/// Options of one group that differ from those of the optimizer. Whatever is set here counts, also when it equals a
/// default; an option that the optimizer does not have is an Error.
struct GroupOptions {
  std::optional<double> lr = {};
  std::optional<double> weight_decay = {};
  std::optional<double> momentum = {};
  std::optional<std::array<double, 2>> betas = {};
  std::optional<double> eps = {};
  std::optional<double> dampening = {};
  std::optional<bool> nesterov = {};
  std::optional<bool> amsgrad = {};
  std::optional<bool> maximize = {};
  std::optional<bool> decoupled_weight_decay = {};
  std::optional<double> momentum_decay = {};
  std::optional<double> rho = {};
  std::optional<double> alpha = {};
  std::optional<bool> centered = {};
  std::optional<std::array<double, 2>> etas = {};
  std::optional<std::array<double, 2>> step_sizes = {};
  std::optional<double> lambd = {};
  std::optional<double> t0 = {};
  std::optional<double> lr_decay = {};
  std::optional<double> initial_accumulator_value = {};
  std::optional<double> beta2_decay = {};
  std::optional<double> eps1 = {};
  std::optional<double> eps2 = {};
  std::optional<double> d = {};
  std::optional<std::array<double, 3>> ns_coefficients = {};
  std::optional<int64_t> ns_steps = {};
  std::optional<AdjustLr> adjust_lr_fn = {};
  std::optional<std::array<double, 2>> norm_range = {};
};

struct ParameterGroup {
  Parameters parameters;
  GroupOptions options = {};
};
using ParameterGroups = std::vector<ParameterGroup>;

/// Which parameters make a group of their own: `*.bias`, `encoder.*`, `blocks.?.norm.weight`.
struct GroupPattern {
  std::string pattern;  ///< `*` is any run of characters, dots too; `?` is one.
  GroupOptions options = {};
};

/// Splits parameters into groups: each goes to the first pattern that fits its name. What fits none makes a group
/// without options of its own, which comes first; then one group for each pattern, in their order. The order of the
/// parameters is kept within a group.
///
///     optim::AdamW({.weight_decay = 0.1}).on(group_parameters(parameters_of(net), {{"*.bias", {.weight_decay = 0}}}))
///
/// Throws Error for a pattern that gets no parameter, with the names that are nearest to it.
[[nodiscard]] ParameterGroups group_parameters(Parameters parameters, const std::vector<GroupPattern>& patterns);

}  // namespace athanor
