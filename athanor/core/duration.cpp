// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/duration.hpp"

#include <cmath>

#include "athanor/core/text.hpp"

namespace athanor {

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

bool Duration::passed(const Elapsed& before, const Elapsed& now) const noexcept {
  if (count_ <= 0) return false;
  // A fraction of an epoch is a sum of 1/batches: a tiny margin keeps 4 x 0.25 from missing its mark.
  constexpr double margin = 1e-9;
  return std::floor(measure(now) / count_ + margin) > std::floor(measure(before) / count_ + margin);
}

std::string Duration::describe() const {
  static constexpr const char* names[] = {"epoch", "step", "sample", "second"};
  return format_number(count_) + " " + names[static_cast<size_t>(unit_)] + (count_ == 1 ? "" : "s");
}

}  // namespace athanor
