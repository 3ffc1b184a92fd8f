// SPDX-License-Identifier: Apache-2.0
// Adam that warms up by itself.
#pragma once

#include <array>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.RAdam`, with its names and defaults.
struct RAdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled_weight_decay = false;  ///< Decays the weights themselves, as AdamW does, instead of the gradient.
  bool maximize = false;
};

/// RAdam (Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020): steps without the second
/// moment until enough gradients have been seen to trust it. State: `step`, `exp_avg`, `exp_avg_sq`.
class RAdam : public OptionsRecipe<RAdamOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.RAdam` does.
  explicit RAdam(RAdamOptions options = {});
};

}  // namespace athanor::optim
