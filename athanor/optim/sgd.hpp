// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent, on LibTorch's fused kernel where that is right.
#pragma once

#include "athanor/optim/options_recipe.hpp"

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

/// Stochastic gradient descent, with momentum as `torch.optim.SGD` has it.
///
/// On a CPU float16 and bfloat16 take LibTorch's operators: its fused kernel for them, and so `torch.optim.SGD` with
/// `fused=True`, leaves most weights as they are (2.13).
///
/// With a dampening, a first step whose `found_inf` lies on another device than the CPU waits for that device: the
/// first momentum is the gradient itself, and a skipped step is none.
///
/// Sparse gradients are taken where momentum and weight decay are 0; that step reads `found_inf` and a learning rate
/// that is a tensor.
class SGD : public OptionsRecipe<SGDOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.SGD` does.
  explicit SGD(SGDOptions options = {});
};

}  // namespace athanor::optim
