// SPDX-License-Identifier: Apache-2.0
// Stops when a value no longer improves.
#pragma once

#include "athanor/callbacks/monitor.hpp"

namespace athanor {

struct EarlyStoppingOptions {
  MonitorOptions monitor = {};
  /// Checks without improvement after which the run stops: epochs, or validations where these are more frequent. 3
  /// stops after the third. They are counted over calls of `fit`; a call after the stop starts to count anew.
  int64_t patience = 5;
  /// Stops as soon as the value is at least as good as this.
  std::optional<double> good_enough = {};
  /// Stops as soon as the value is worse than this.
  std::optional<double> hopeless = {};
  /// Stops as soon as the value is NaN or infinite.
  bool stop_if_not_finite = false;
};

class EarlyStopping {
 public:
  /// Throws Error for a patience below 1.
  explicit EarlyStopping(EarlyStoppingOptions options = {});
  void on_fit_begin(Trainer& trainer);
  void on_check(Trainer& trainer);
  void on_fit_end(Trainer& trainer);
  void state(State& state);
  /// There may be one for each monitor.
  [[nodiscard]] std::string key() const;

 private:
  void stop_if_exhausted(Trainer& trainer) const;

  EarlyStoppingOptions options_;
  Monitor monitor_;
  int64_t waited_ = 0;
};

}  // namespace athanor
