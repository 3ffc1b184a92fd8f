// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/monitored_value.hpp"

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {

MonitoredValue find_monitored(const Trainer& trainer, const std::string& wanted) {
  const auto& known = trainer.value_names();
  std::vector<std::string> names;
  names.reserve(known.size());
  for (const auto& [name, direction] : known) names.push_back(name);
  std::string meant = wanted;
  if (meant.empty()) {
    const auto validated = std::find_if(names.begin(), names.end(), [](const std::string& name) {
      return name.ends_with("_loss") && !name.starts_with("train_");
    });
    const auto trained = std::find_if(names.begin(), names.end(), [](const std::string& name) {
      return name.starts_with("train_loss");  // with several optimizers, that of the first
    });
    meant = validated != names.end() ? *validated : trained != names.end() ? *trained : "train_loss";
  }
  const auto found = std::find_if(known.begin(), known.end(), [&](const auto& entry) { return entry.first == meant; });
  if (found != known.end()) return {.name = found->first, .direction = found->second};
  const std::string near = nearest(meant, names);
  std::string todo = near.empty() ? "name one of these, or add a metric of that name" : "did you mean " + near + "?";
  const bool validated =
      std::any_of(names.begin(), names.end(), [](const auto& name) { return name.starts_with("val_"); });
  if (meant.starts_with("val_") && !validated) todo = "give validation data, or monitor one of these";
  throw Error({.what = "the monitor '" + meant + "' is not among the values of this run",
               .where = "before the first step",
               .got = meant,
               .expected = "one of " + join(names, ", "),
               .todo = todo});
}

void check_schedule_monitors(Trainer& trainer) {
  if (trainer.value_names().empty()) return;
  for (const NamedOptimizer& named : trainer.optimizers()) {
    if (!named.schedule || !named.schedule->takes_value()) continue;
    const MonitoredValue value = find_monitored(trainer, named.schedule->monitor());
    const std::optional<Mode> mode = named.schedule->mode();
    if (!mode || value.direction == Direction::unknown) continue;
    const bool up = value.direction == Direction::up;
    if (up == (*mode == Mode::max)) continue;
    throw Error({.what = "a schedule waits for a value to go the wrong way",
                 .where = "optimizer " + named.name + ": " + named.schedule->describe(),
                 .got = std::string("Mode::") + (up ? "min" : "max") + " for " + value.name,
                 .expected = std::string("Mode::") + (up ? "max: more of it is better" : "min: less of it is better")});
  }
}

void give_value_to_schedules(Trainer& trainer) {
  for (NamedOptimizer& named : trainer.optimizers()) {
    if (!named.schedule || !named.schedule->takes_value() || trainer.value_names().empty()) continue;
    const std::string name = find_monitored(trainer, named.schedule->monitor()).name;
    const auto value = trainer.values().find(name);
    if (!value) continue;
    const Optimizer::Field field = named.schedule->field();
    const std::optional<double> before = named.optimizer->get(field);
    named.schedule->on_value(*named.optimizer, *value);
    const std::optional<double> now = named.optimizer->get(field);
    if (before == now || !now) continue;
    trainer.message(name + " has not improved: " + name_of(field) + " of " + named.name + " is " + shortest(*now) +
                    " now");
  }
}

}  // namespace athanor
