// SPDX-License-Identifier: Apache-2.0
// Stops when a value no longer improves.
#pragma once

#include "athanor/callbacks/monitor.hpp"

namespace athanor {

struct EarlyStoppingOptions {
  MonitorOptions monitor = {};
  /// Epochs without improvement after which the run stops. 3 stops after the third. They are counted over calls of
  /// `fit`; a call after the stop starts to count anew.
  int64_t patience = 5;
};

class EarlyStopping {
 public:
  /// Throws Error for a patience below 1.
  explicit EarlyStopping(EarlyStoppingOptions options = {});
  void on_fit_begin(Trainer& trainer);
  void on_epoch_end(Trainer& trainer);
  void on_fit_end(Trainer& trainer);
  void state(State& state);

 private:
  void stop_if_exhausted(Trainer& trainer) const;

  Monitor monitor_;
  int64_t patience_;
  int64_t waited_ = 0;
};

}  // namespace athanor
