// SPDX-License-Identifier: Apache-2.0
// Slow weights that follow any optimizer.
//
//     .optimizer = athanor::optim::Lookahead(athanor::optim::AdamW({.lr = 1e-3}), {.k = 5, .alpha = 0.5})
#pragma once

#include <memory>
#include <string>

#include "athanor/optim/optimizer.hpp"

namespace athanor::optim {

struct LookaheadOptions {
  int64_t k = 5;       ///< Steps of the base optimizer between two steps of the slow weights; 1 or more.
  double alpha = 0.5;  ///< How far the slow weights go towards the fast ones, above 0 up to 1.
};

/// Lookahead (Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", 2019): after every k steps of the base
/// optimizer the slow weights go a part of the way to its weights, and it goes on from there with its moments. It costs
/// one copy of the weights in memory.
///
/// Groups and fields are those of the base optimizer, its state too, with `lookahead.slow_weights` and
/// `lookahead.steps` beside it. A step that is skipped does not count; to know that, it reads `found_inf`, which waits
/// for a device.
class Lookahead {
 public:
  /// Throws Error for options out of range, and for a base that is none.
  explicit Lookahead(Recipe base, LookaheadOptions options = {});

  [[nodiscard]] const LookaheadOptions& options() const noexcept { return options_; }
  /// Throws Error for whatever the base refuses.
  [[nodiscard]] std::shared_ptr<Optimizer> on(ParameterGroups groups) const;
  /// A module, its holder or pointer, or a list of tensors.
  template <class T>
  requires requires(const T& source) { parameters_of(source); }
  [[nodiscard]] std::shared_ptr<Optimizer> on(const T& source) const {
    return on(ParameterGroups{{parameters_of(source), {}}});
  }
  /// `Lookahead(k 5, alpha 0.5, AdamW(lr 0.001))`
  [[nodiscard]] std::string describe() const;

 private:
  Recipe base_;
  LookaheadOptions options_;
};

}  // namespace athanor::optim
