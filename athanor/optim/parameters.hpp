// SPDX-License-Identifier: Apache-2.0
// What an optimizer works on: named tensors, in groups that may differ in their options.
#pragma once

#include <array>
#include <concepts>
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

/// Options of one group that differ from those of the optimizer. Whatever is set here counts, also when it equals a
/// default; an option that the optimizer does not have is an Error.
struct GroupOptions {
  std::optional<double> lr = {};
  std::optional<double> weight_decay = {};
  std::optional<double> momentum = {};
  std::optional<std::array<double, 2>> betas = {};
  std::optional<double> eps = {};
};

struct ParameterGroup {
  Parameters parameters;
  GroupOptions options = {};
};
using ParameterGroups = std::vector<ParameterGroup>;

}  // namespace athanor
