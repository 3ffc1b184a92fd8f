// SPDX-License-Identifier: Apache-2.0
// Adaptive steps whose memory is a row and a column for each matrix.
#pragma once

#include <optional>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

/// The options of `torch.optim.Adafactor`, with its names and defaults; eps1 and eps2 are the two of its `eps`.
struct AdafactorOptions {
  double lr = 1e-2;                 ///< The longest step; that of step n is at most 1 / sqrt(n).
  double beta2_decay = -0.8;        ///< 0 or less: the average of squares takes n^beta2_decay of the new ones.
  std::optional<double> eps1 = {};  ///< The least root of a mean square; unset: the unit roundoff of the dtype.
  double eps2 = 1e-3;               ///< The least size of a parameter by which its steps are measured.
  double d = 1;                     ///< 1 or more: a step is scaled down to this root mean square.
  double weight_decay = 0;          ///< Decays the weights themselves.
  bool maximize = false;
};

/// Adafactor (Shazeer & Stern, 2018). State: `step`, and `row_var` (..., A, 1) and `col_var` (..., 1, B) for a
/// parameter
/// (..., A, B), `variance` for a vector or scalar.
///
/// On a CPU, contiguous float32 and float64 take a kernel of three passes that stay in the cache for usual layers;
/// everything else takes LibTorch's operators, which read norms and wait for a device, as Python does.
class Adafactor : public OptionsRecipe<AdafactorOptions> {
 public:
  /// Throws Error for a value out of range, as `torch.optim.Adafactor` does.
  explicit Adafactor(AdafactorOptions options = {});
};

}  // namespace athanor::optim
