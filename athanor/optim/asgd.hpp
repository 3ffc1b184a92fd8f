// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent that keeps an average of the weights.
#pragma once

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.ASGD`, with its names and defaults.
struct ASGDOptions {
  double lr = 1e-2;
  double lambd = 1e-4;  ///< Decay of the weights, and of the learning rate with the steps.
  double alpha = 0.75;  ///< Power of that decay of the learning rate.
  double t0 = 1e6;      ///< Averaging begins after this many steps.
  double weight_decay = 0;
  bool maximize = false;
};

/// Averaged stochastic gradient descent (Polyak & Juditsky, 1992). State: `step`, `eta`, `mu`, `ax`; `ax` is the
/// average, the weights in training themselves until averaging begins.
class ASGD : public OptionsRecipe<ASGDOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.ASGD` does.
  explicit ASGD(ASGDOptions options = {});
};

}  // namespace athanor::optim
