// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/profile_steps.hpp"

#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/core/options.hpp"

namespace athanor {

ProfileSteps::ProfileSteps(const Duration& duration) {
  const bool fits = duration.count() >= 1 && duration.count() <= std::numeric_limits<int32_t>::max();
  if (duration.unit() == Duration::Unit::steps && fits) {
    count_ = static_cast<int32_t>(duration.count());
    return;
  }
  throw Error({.what = "so much can't be profiled",
               .where = "TrainerOptions::profile",
               .got = duration.describe(),
               .expected = "a number of steps, 1 or more, such as steps(20)"});
}

std::string ProfileSteps::describe() const { return count_ > 0 ? Duration::steps(count_).describe() : "none"; }

ProfileSteps ProfileSteps::parse(std::string_view text) {
  if (text == "none") return {};
  return parse_duration(text);
}

}  // namespace athanor
