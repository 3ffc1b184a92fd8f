// SPDX-License-Identifier: Apache-2.0
// Steps by the signs of gradients alone, each weight with a length of its own.
#pragma once

#include <array>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.Rprop`, with its names and defaults.
struct RpropOptions {
  double lr = 1e-2;                               ///< The length of the first step of every weight.
  std::array<double, 2> etas = {0.5, 1.2};        ///< Factors of the length after a change of sign, and without one.
  std::array<double, 2> step_sizes = {1e-6, 50};  ///< The shortest and the longest step.
  bool maximize = false;
};

/// Rprop (Riedmiller & Braun, 1993), for gradients of the whole data set. State: `step`, `prev`, `step_size`. The
/// learning rate counts at the first step of a parameter only.
class Rprop : public OptionsRecipe<RpropOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.Rprop` does.
  explicit Rprop(RpropOptions options = {});
};

}  // namespace athanor::optim
