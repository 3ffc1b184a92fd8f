// SPDX-License-Identifier: Apache-2.0
// Adam whose steps are as long as the weights of a layer allow, for large batches.
#pragma once

#include <array>
#include <limits>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The defaults are those of the paper.
struct LAMBOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-6;
  double weight_decay = 0.01;  ///< Added to the direction before its length is taken.
  /// The norm of a parameter counts as at least the first and at most the second.
  std::array<double, 2> norm_range = {0, std::numeric_limits<double>::infinity()};
  bool maximize = false;
};

/// LAMB (You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2020). For each
/// parameter w, with the bias-corrected moments m and v of Adam,
///
///     r = m / (sqrt(v) + eps) + weight_decay w
///     w -= lr |w| / |r| r,   and  w -= lr r  where one of the norms is 0.
///
/// State: `step`, `exp_avg`, `exp_avg_sq`.
class LAMB : public OptionsRecipe<LAMBOptions> {
 public:
  /// Throws Error for a value out of range.
  explicit LAMB(LAMBOptions options = {});
};

}  // namespace athanor::optim
