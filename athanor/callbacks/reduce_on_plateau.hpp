// SPDX-License-Identifier: Apache-2.0
// A smaller learning rate when a value has stopped improving, from the best weights on if you like.
#pragma once

#include "athanor/callbacks/monitor.hpp"
#include "athanor/optim/plateau_schedule.hpp"

namespace athanor {

/// What a plateau goes back to.
enum class Rewind {
  nothing,                ///< Training goes on from where it is.
  weights,                ///< Parameters and buffers of the best check.
  weights_and_optimizer,  ///< The optimizers' memory of that moment too, but for their learning rates.
};

struct ReduceOnPlateauOptions {
  MonitorOptions monitor = {};
  double factor = 0.1;    ///< What the rate of every group is multiplied by; from 0 to below 1.
  int64_t patience = 10;  ///< Checks without improvement that are put up with, as in torch's ReduceLROnPlateau.
  int64_t cooldown = 0;   ///< Checks after a reduction that do not count.
  double min_lr = 0;      ///< No rate falls below.
  Rewind rewind = Rewind::nothing;
};

/// What `schedules::reduce_on_plateau` does, for all optimizers of a run and with a way back to the best weights. Take
/// the schedule where none is needed: it can stand behind a warm-up and belongs to one optimizer. The threshold
/// `min_change` is absolute. It says by a message what it does. The best weights are those of the best check of the
/// whole run: a plateau never forgets them. Rewinding takes a copy of what is kept.
class ReduceOnPlateau {
 public:
  /// Throws Error for options out of range.
  explicit ReduceOnPlateau(ReduceOnPlateauOptions options = {});
  /// Throws Error for an unknown monitor, and when a schedule of an optimizer sets the learning rate too.
  void on_fit_begin(Trainer& trainer);
  void on_check(Trainer& trainer);
  void state(State& state);
  [[nodiscard]] std::string key() const { return "ReduceOnPlateau of " + options_.monitor.monitor; }

 private:
  void keep(Trainer& trainer);
  void go_back(Trainer& trainer) const;

  ReduceOnPlateauOptions options_;
  Monitor monitor_;
  PlateauCounter counter_;
  Tree weights_;
  Tree optimizers_ = Tree::List{};
};

}  // namespace athanor
