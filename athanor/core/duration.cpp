// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/duration.hpp"

#include <cmath>

#include "athanor/core/state.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

// A fraction of an epoch is a sum of 1/batches: a tiny margin keeps 10 x 0.1 from missing its mark.
double margin(Duration::Unit unit) { return unit == Duration::Unit::epochs ? 1e-9 : 0; }

}  // namespace

void Elapsed::state(State& state) {
  state.value("epochs", epochs);
  state.value("steps", steps);
  state.value("samples", samples);
  state.value("seconds", seconds);
}

double Duration::measure(const Elapsed& elapsed) const noexcept {
  switch (unit_) {
    case Unit::epochs:
      return elapsed.epochs;
    case Unit::steps:
      return static_cast<double>(elapsed.steps);
    case Unit::samples:
      return static_cast<double>(elapsed.samples);
    case Unit::seconds:
      return elapsed.seconds;
  }
  return 0;
}

bool Duration::reached(const Elapsed& elapsed) const noexcept { return measure(elapsed) >= count_ - margin(unit_); }

bool Duration::passed(const Elapsed& before, const Elapsed& now) const noexcept {
  if (count_ <= 0) return false;
  auto multiples = [&](const Elapsed& elapsed) { return std::floor((measure(elapsed) + margin(unit_)) / count_); };
  return multiples(now) > multiples(before);
}

std::string Duration::describe() const {
  static constexpr const char* names[] = {"epoch", "step", "sample", "second"};
  return shortest(count_) + " " + names[static_cast<size_t>(unit_)] + (count_ == 1 ? "" : "s");
}

}  // namespace athanor
