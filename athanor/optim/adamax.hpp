// SPDX-License-Identifier: Apache-2.0
// Adam with the largest gradient in place of the second moment.
#pragma once

#include <array>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.Adamax`, with its names and defaults.
struct AdamaxOptions {
  double lr = 2e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;  ///< Added to each magnitude of a gradient.
  double weight_decay = 0;
  bool maximize = false;
};

/// Adamax (Kingma & Ba, 2015, section 7). State: `step`, `exp_avg`, `exp_inf`.
class Adamax : public OptionsRecipe<AdamaxOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.Adamax` does.
  explicit Adamax(AdamaxOptions options = {});
};

}  // namespace athanor::optim
