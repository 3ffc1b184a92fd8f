// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/early_stopping.hpp"

#include "athanor/core/error.hpp"

namespace athanor {

EarlyStopping::EarlyStopping(EarlyStoppingOptions options)
    : monitor_(std::move(options.monitor)), patience_(options.patience) {
  if (patience_ < 1) {
    throw Error({.what = "the patience is too small",
                 .where = "EarlyStoppingOptions::patience",
                 .got = std::to_string(patience_),
                 .expected = "1 or more"});
  }
}

void EarlyStopping::on_fit_begin(Trainer& trainer) {
  monitor_.bind(trainer);
  stop_if_exhausted(trainer);  // the state of a run that was about to stop
}

void EarlyStopping::on_epoch_end(Trainer& trainer) {
  if (monitor_.improved(trainer)) {
    waited_ = 0;
  } else if (trainer.position().epoch_done) {
    waited_ += 1;
  }
  stop_if_exhausted(trainer);
}

void EarlyStopping::on_fit_end(Trainer&) {
  if (waited_ >= patience_) waited_ = 0;
}

void EarlyStopping::stop_if_exhausted(Trainer& trainer) const {
  if (waited_ < patience_) return;
  trainer.request_stop("no improvement of " + monitor_.name() + " for " + std::to_string(patience_) +
                       (patience_ == 1 ? " epoch" : " epochs"));
}

void EarlyStopping::state(State& state) {
  state.child("monitor", monitor_);
  state.value("waited", waited_);
}

}  // namespace athanor
