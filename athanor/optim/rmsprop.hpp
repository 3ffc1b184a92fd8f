// SPDX-License-Identifier: Apache-2.0
// Gradients divided by the root of their recent mean square.
#pragma once

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.RMSprop`, with its names and defaults.
struct RMSpropOptions {
  double lr = 1e-2;
  double alpha = 0.99;  ///< How much of the average of squares is kept.
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;  ///< Divides by the deviation from the mean gradient instead.
  bool maximize = false;
};

/// RMSprop (Hinton, lecture 6e, 2012; centered: Graves, 2013). State: `step`, `square_avg`, with momentum
/// `momentum_buffer`, centered `grad_avg`.
class RMSprop : public OptionsRecipe<RMSpropOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.RMSprop` does.
  explicit RMSprop(RMSpropOptions options = {});
};

}  // namespace athanor::optim
