// SPDX-License-Identifier: Apache-2.0
// What the recipes of our optimizers share.
#pragma once

#include "athanor/optim/optimizer.hpp"

namespace athanor::optim {

/// Options, and how an optimizer is made from them once the parameters are known. A recipe is a value: it can be copied
/// and bound any number of times. Each optimizer is a constructor on top of it.
template <class Options>
class OptionsRecipe {
 public:
  [[nodiscard]] const Options& options() const noexcept { return options_; }
  /// Throws Error for groups that can't be trained: without parameters, with a tensor that is not a dense
  /// floating-point leaf that requires a gradient, with a tensor or name that appears twice, on several devices.
  [[nodiscard]] std::shared_ptr<Optimizer> on(ParameterGroups groups) const { return bind_(options_, groups); }
  /// A module, its holder or pointer, or a list of tensors.
  template <class T>
  requires requires(const T& source) { parameters_of(source); }
  [[nodiscard]] std::shared_ptr<Optimizer> on(const T& source) const {
    return on(ParameterGroups{{parameters_of(source), {}}});
  }
  /// `Adam(lr 0.001)`
  [[nodiscard]] std::string describe() const { return describe_(options_); }

 protected:
  using Bind = std::shared_ptr<Optimizer>(const Options&, const ParameterGroups&);
  using Describe = std::string(const Options&);
  OptionsRecipe(Options options, Bind& bind, Describe& describe)
      : options_(std::move(options)), bind_(&bind), describe_(&describe) {}

 private:
  Options options_;
  Bind* bind_;
  Describe* describe_;
};

}  // namespace athanor::optim
