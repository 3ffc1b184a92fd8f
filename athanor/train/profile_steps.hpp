// SPDX-License-Identifier: Apache-2.0
// How many steps of a run are profiled: asked for here, done by the callback `Profile` of the room `callbacks`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "athanor/core/duration.hpp"
#include "athanor/train/callback.hpp"

namespace athanor {

/// `profile = steps(20)`
[[nodiscard]] constexpr Duration steps(int64_t count) { return Duration::steps(count); }

/// A number of steps, or none.
class ProfileSteps {
 public:
  ProfileSteps() = default;
  /// Throws Error for what is not 1 step or more.
  ProfileSteps(const Duration& duration);
  [[nodiscard]] int64_t count() const noexcept { return count_; }
  explicit operator bool() const noexcept { return count_ > 0; }
  friend bool operator==(const ProfileSteps&, const ProfileSteps&) = default;
  /// `20 steps`, `none`; `parse` reads the same. Throws Error.
  [[nodiscard]] std::string describe() const;
  [[nodiscard]] static ProfileSteps parse(std::string_view text);

 private:
  int32_t count_ = 0;
};

/// A callback `Profile` of so many steps, with its other options as they come.
[[nodiscard]] Callback make_profile(const ProfileSteps& steps);

}  // namespace athanor
