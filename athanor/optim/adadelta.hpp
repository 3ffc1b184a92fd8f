// SPDX-License-Identifier: Apache-2.0
// Steps as long as those that came before, without a learning rate to tune.
#pragma once

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.Adadelta`, with its names and defaults.
struct AdadeltaOptions {
  double lr = 1;
  double rho = 0.9;  ///< How much of the averages of squares is kept, from 0 to 1.
  double eps = 1e-6;
  double weight_decay = 0;
  bool maximize = false;
};

/// Adadelta (Zeiler, 2012). State: `step`, `square_avg`, `acc_delta`.
class Adadelta : public OptionsRecipe<AdadeltaOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.Adadelta` does.
  explicit Adadelta(AdadeltaOptions options = {});
};

}  // namespace athanor::optim
