// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/early_stopping.hpp"

#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {

EarlyStopping::EarlyStopping(EarlyStoppingOptions options) : options_(std::move(options)), monitor_(options_.monitor) {
  if (options_.patience < 1) {
    throw Error({.what = "the patience is too small",
                 .where = "EarlyStoppingOptions::patience",
                 .got = std::to_string(options_.patience),
                 .expected = "1 or more"});
  }
}

void EarlyStopping::on_fit_begin(Trainer& trainer) {
  monitor_.bind(trainer);
  stop_if_exhausted(trainer);  // the state of a run that was about to stop
}

void EarlyStopping::on_check(Trainer& trainer) {
  const bool improved = monitor_.improved(trainer);
  const auto value = trainer.values().find(monitor_.name());
  if (!value) return;  // no validation this time
  if (improved) {
    waited_ = 0;
  } else if (trainer.history().empty() || !trainer.history().last().cut_short) {
    waited_ += 1;
  }
  const auto stop = [&](const std::string& reason) { trainer.request_stop(monitor_.name() + " " + reason); };
  if (options_.stop_if_not_finite && !std::isfinite(*value)) stop("is not finite");
  const double sign = monitor_.mode() == Mode::min ? 1 : -1;
  if (options_.good_enough && sign * *value <= sign * *options_.good_enough) {
    stop("is good enough: " + format_number(*value));
  }
  if (options_.hopeless && sign * *value > sign * *options_.hopeless) stop("is hopeless: " + format_number(*value));
  stop_if_exhausted(trainer);
}

void EarlyStopping::on_fit_end(Trainer&) {
  if (waited_ >= options_.patience) waited_ = 0;
}

void EarlyStopping::stop_if_exhausted(Trainer& trainer) const {
  if (waited_ < options_.patience) return;
  const bool by_epoch = trainer.options().validate_every == Duration::epochs(1);
  trainer.request_stop("no improvement of " + monitor_.name() + " for " + std::to_string(options_.patience) +
                       (by_epoch ? " epoch" : " check") + (options_.patience == 1 ? "" : "s"));
}

std::string EarlyStopping::key() const { return "EarlyStopping of " + options_.monitor.monitor; }

void EarlyStopping::state(State& state) {
  state.child("monitor", monitor_);
  state.value("waited", waited_);
}

}  // namespace athanor
