// SPDX-License-Identifier: Apache-2.0
// Adam with Nesterov momentum.
#pragma once

#include <array>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.NAdam`, with its names and defaults.
struct NAdamOptions {
  double lr = 2e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum_decay = 4e-3;         ///< How fast the momentum comes up to beta1 in the course of the run.
  bool decoupled_weight_decay = false;  ///< Decays the weights themselves, as AdamW does, instead of the gradient.
  bool maximize = false;
};

/// NAdam (Dozat, "Incorporating Nesterov Momentum into Adam", 2016). State: `step`, `mu_product`, `exp_avg`,
/// `exp_avg_sq`.
class NAdam : public OptionsRecipe<NAdamOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.NAdam` does.
  explicit NAdam(NAdamOptions options = {});
};

}  // namespace athanor::optim
