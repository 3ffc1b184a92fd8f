// SPDX-License-Identifier: Apache-2.0
// Steps by the sign of a momentum.
#pragma once

#include <array>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The defaults are those of the paper's reference implementation.
struct LionOptions {
  double lr = 1e-4;  ///< A third to a tenth of the rate that AdamW would take.
  std::array<double, 2> betas = {0.9, 0.99};
  double weight_decay = 0;  ///< Decays the weights themselves; three to ten times what AdamW would take.
  bool maximize = false;
};

/// Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023). State: `exp_avg`.
class Lion : public OptionsRecipe<LionOptions> {
 public:
  /// Throws Error for a value out of range.
  explicit Lion(LionOptions options = {});
};

}  // namespace athanor::optim
