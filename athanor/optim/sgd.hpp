// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent on LibTorch's fused kernel.
#pragma once

#include "athanor/optim/optimizer.hpp"

namespace athanor::optim {

/// The options of `torch.optim.SGD`, with its names and defaults.
struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;  ///< Needs a momentum above 0 and no dampening.
  bool maximize = false;
};

class SGD {
 public:
  /// Throws Error for a value out of range, as `torch.optim.SGD` does.
  explicit SGD(SGDOptions options = {});
  [[nodiscard]] const SGDOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::shared_ptr<Optimizer> on(ParameterGroups groups) const;
  /// A module, its holder or pointer, or a list of tensors.
  template <class T>
  requires requires(const T& source) { parameters_of(source); }
  [[nodiscard]] std::shared_ptr<Optimizer> on(const T& source) const {
    return on(ParameterGroups{{parameters_of(source), {}}});
  }
  [[nodiscard]] std::string describe() const;

 private:
  SGDOptions options_;
};

}  // namespace athanor::optim
