// SPDX-License-Identifier: Apache-2.0
// Gradients divided by the root of the sum of all their squares.
#pragma once

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.Adagrad`, with its names and defaults.
struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;  ///< The rate of step n is lr / (1 + (n - 1) * lr_decay).
  double weight_decay = 0;
  double initial_accumulator_value = 0;
  double eps = 1e-10;
  bool maximize = false;
};

/// Adagrad (Duchi et al., 2011), on LibTorch's fused kernel. State: `step`, `sum`.
///
/// Sparse gradients are taken without weight decay; only the rows that they name are touched. That step reads
/// `found_inf` and a learning rate that is a tensor, which waits for a device.
class Adagrad : public OptionsRecipe<AdagradOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.Adagrad` does.
  explicit Adagrad(AdagradOptions options = {});
};

}  // namespace athanor::optim
