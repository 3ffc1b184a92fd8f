// SPDX-License-Identifier: Apache-2.0
// Orthogonalised momentum for the matrices of hidden layers.
//
//     athanor::Optimizers configure_optimizers() override {
//       return {{"muon", optim::Muon({.lr = 0.02}).on(matrices)}, {"adamw", optim::AdamW().on(others)}};
//     }
#pragma once

#include <array>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.Muon`, with its names and defaults.
struct MuonOptions {
  double lr = 1e-3;
  double weight_decay = 0.1;  ///< Decays the weights themselves.
  double momentum = 0.95;
  bool nesterov = true;
  std::array<double, 3> ns_coefficients = {3.4445, -4.7750, 2.0315};
  double eps = 1e-7;
  int64_t ns_steps = 5;  ///< Newton-Schulz iterations, below 100.
  AdjustLr adjust_lr_fn = AdjustLr::original;
};

/// Muon (Jordan, "Muon: An optimizer for hidden layers in neural networks", 2024): steps along the momentum with all
/// its singular values brought near 1, by a Newton-Schulz iteration in bfloat16. State: `momentum_buffer`.
///
/// Takes parameters (A, B) alone; biases, norms, embeddings and the last layer belong to AdamW. A processor without
/// bfloat16 instructions multiplies in float32 what is rounded to bfloat16, which gives the same numbers but for the
/// order of sums. Matrices of equal shape are multiplied together.
///
/// Where a momentum of bfloat16 is itself the update (without nesterov), `torch.optim.Muon` 2.13 divides it by its norm
/// in place and so forgets its size; this one keeps it, as both do in float32.
class Muon : public OptionsRecipe<MuonOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.Muon` does; `on` throws for a parameter that is no matrix.
  explicit Muon(MuonOptions options = {});
};

}  // namespace athanor::optim
