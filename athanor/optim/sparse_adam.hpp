// SPDX-License-Identifier: Apache-2.0
// Adam for embeddings whose gradients name a few rows.
#pragma once

#include <array>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.SparseAdam`, with its names and defaults.
struct SparseAdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;  ///< Above 0.
  bool maximize = false;
};

/// Adam that touches only the rows which a sparse gradient names: for `nn::Embedding` with `sparse(true)`. Moments of
/// other rows stay as they are, they do not decay. State: `step`, `exp_avg`, `exp_avg_sq`, as large as the parameter.
///
/// Takes sparse gradients alone: give it the embeddings, and AdamW the rest.
class SparseAdam : public OptionsRecipe<SparseAdamOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.SparseAdam` does; a rate of 0 is taken, for schedules.
  explicit SparseAdam(SparseAdamOptions options = {});
};

}  // namespace athanor::optim
