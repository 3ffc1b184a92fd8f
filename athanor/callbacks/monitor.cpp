// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/monitor.hpp"

#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/train/monitored_value.hpp"

namespace athanor {

void Monitor::bind(const Trainer& trainer) {
  if (trainer.value_names().empty()) return;  // a loop over batches of the caller's own: names come with the values
  const MonitoredValue found = find_monitored(trainer, options_.monitor);
  if (found.name != name_) {  // the best of another value says nothing about this one
    best_ = 0;
    best_epoch_ = 0;
    name_ = found.name;
  }
  if (options_.mode) {
    mode_ = *options_.mode;
  } else if (found.direction != Direction::unknown) {
    mode_ = found.direction == Direction::up ? Mode::max : Mode::min;
  } else {
    throw Error({.what = "it is not known whether '" + name() + "' should become large or small",
                 .where = "before the first step",
                 .got = "no mode, and a metric that does not say which way is better",
                 .todo = "set mode to Mode::min or Mode::max"});
  }
}

bool Monitor::improved(const Trainer& trainer) {
  if (name_.empty()) bind(trainer);
  const auto value = trainer.values().find(name());
  if (!value || std::isnan(*value)) return false;
  const bool worst = std::isinf(*value) && ((*value > 0) == (mode_ == Mode::min));
  if (worst) return false;
  const double gain = mode_ == Mode::min ? best_ - *value : *value - best_;
  if (has_best() && !(gain > options_.min_change)) return false;
  best_ = *value;
  best_epoch_ = trainer.position().epoch;
  return true;
}

void Monitor::state(State& state) {
  state.value("name", name_);
  state.value("best", best_);
  state.value("best_epoch", best_epoch_);
}

}  // namespace athanor
