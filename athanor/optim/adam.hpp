// SPDX-License-Identifier: Apache-2.0
// Adam and AdamW on LibTorch's fused kernels.
#pragma once

#include <array>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.Adam`, with its names and defaults.
struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;  ///< Added to the gradient (L2); AdamW decays the weights themselves.
  bool amsgrad = false;     ///< Divides by the largest second moment so far (Reddi et al., 2018).
  bool maximize = false;
  bool decoupled_weight_decay = false;  ///< Decays the weights themselves: with it Adam is AdamW.
};

/// Adam (Kingma & Ba, 2015).
class Adam : public OptionsRecipe<AdamOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.Adam` does.
  explicit Adam(AdamOptions options = {});
};

/// The options of `torch.optim.AdamW`, with its names and defaults.
struct AdamWOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 1e-2;
  bool amsgrad = false;
  bool maximize = false;
};

/// Adam with decoupled weight decay (Loshchilov & Hutter, 2019).
class AdamW : public OptionsRecipe<AdamWOptions> {
 public:
  explicit AdamW(AdamWOptions options = {});
};

}  // namespace athanor::optim
