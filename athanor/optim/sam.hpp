// SPDX-License-Identifier: Apache-2.0
// Sharpness-aware minimisation around any optimizer.
//
//     .optimizer = athanor::optim::SAM(athanor::optim::SGD({.lr = 0.1, .momentum = 0.9}), {.rho = 0.05})
#pragma once

#include <memory>
#include <string>

#include "athanor/optim/optimizer.hpp"

namespace athanor::optim {

struct SAMOptions {
  /// How far the weights are moved uphill, in the norm of all parameters together; above 0. The papers use 0.05 for
  /// SAM and 0.5 to 2 for ASAM.
  double rho = 0.05;
  /// ASAM: lengths are measured relative to the size of each weight, so that rescaling a layer changes nothing.
  bool adaptive = false;
  /// ASAM: added to the size of a weight, 0 or more, so that weights of 0 move too.
  double eta = 0.01;
};

/// SAM (Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", 2021) and ASAM (Kwon et
/// al., 2021). A step evaluates the loss twice: at the weights w, and, with the gradient g of that, at w + e with
///
///     SAM    e = rho g / |g|
///     ASAM   e = rho T² g / |T g|,  T = |w| + eta,
///
/// norms taken over all parameters. Then w is put back, bit for bit, and the base optimizer steps from there with the
/// second gradient. It costs two forward and backward passes, and one copy of the weights in memory.
///
/// Values and running statistics of BatchNorm come from the first evaluation. Both evaluations draw the same dropout.
/// Clipping, as everything else between gradients and step, is done to both gradients. When the norm of one of them is
/// not finite the step is left out. It needs the loss as a closure, so it does not work with manual optimization nor
/// with a loss scaler (precision f16).
///
/// State, groups and fields are those of the base optimizer: a checkpoint of it can be gone on with under SAM, and the
/// other way round.
class SAM {
 public:
  /// Throws Error for options out of range, and for a base that is none or evaluates the loss itself (LBFGS; that one
  /// when it is bound).
  explicit SAM(Recipe base, SAMOptions options = {});

  [[nodiscard]] const SAMOptions& options() const noexcept { return options_; }
  /// Throws Error for whatever the base refuses.
  [[nodiscard]] std::shared_ptr<Optimizer> on(ParameterGroups groups) const;
  /// A module, its holder or pointer, or a list of tensors.
  template <class T>
  requires requires(const T& source) { parameters_of(source); }
  [[nodiscard]] std::shared_ptr<Optimizer> on(const T& source) const {
    return on(ParameterGroups{{parameters_of(source), {}}});
  }
  /// `SAM(rho 0.05, SGD(lr 0.1))`
  [[nodiscard]] std::string describe() const;

 private:
  Recipe base_;
  SAMOptions options_;
};

}  // namespace athanor::optim
