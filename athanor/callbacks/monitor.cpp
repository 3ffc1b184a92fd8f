// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/monitor.hpp"

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {

void Monitor::bind(const Trainer& trainer) {
  if (trainer.value_names().empty()) return;  // a loop over batches of the caller's own: names come with the values
  std::vector<std::string> names;
  for (const auto& [name, direction] : trainer.value_names()) names.push_back(name);
  std::string wanted = options_.monitor;
  if (wanted.empty()) {
    const auto validated = std::find_if(names.begin(), names.end(), [](const std::string& known_name) {
      return known_name.ends_with("_loss") && !known_name.starts_with("train_");
    });
    const auto trained = std::find_if(names.begin(), names.end(), [](const std::string& known_name) {
      return known_name.starts_with("train_loss");  // with several optimizers, that of the first
    });
    wanted = validated != names.end() ? *validated : trained != names.end() ? *trained : "train_loss";
  }
  if (wanted != name_) {  // the best of another value says nothing about this one
    best_ = 0;
    best_epoch_ = 0;
    name_ = wanted;
  }
  const auto& known = trainer.value_names();
  const auto found = std::find_if(known.begin(), known.end(), [&](const auto& entry) { return entry.first == name(); });
  if (found == known.end()) {
    const std::string near = nearest(name(), names);
    std::string todo = near.empty() ? "name one of these, or add a metric of that name" : "did you mean " + near + "?";
    if (name().starts_with("val_") && std::none_of(names.begin(), names.end(), [](const std::string& known_name) {
          return known_name.starts_with("val_");
        })) {
      todo = "give validation data, or monitor one of these";
    }
    throw Error({.what = "the monitor '" + name() + "' is not among the values of this run",
                 .where = "before the first step",
                 .got = name(),
                 .expected = "one of " + join(names, ", "),
                 .todo = todo});
  }
  if (options_.mode) {
    mode_ = *options_.mode;
  } else if (found->second != Direction::unknown) {
    mode_ = found->second == Direction::up ? Mode::max : Mode::min;
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
