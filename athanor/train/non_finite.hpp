// SPDX-License-Identifier: Apache-2.0
// What is done about a loss or a gradient that is NaN or infinite.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "athanor/core/duration.hpp"

namespace athanor {

enum class NonFinite {
  stop,       ///< Ends the run; the weights are those before the step.
  skip,       ///< Leaves the step out, warns, and goes on.
  roll_back,  ///< Goes back to the last good state, leaves that batch out when it comes again, and goes on.
  ignore,     ///< Does not look; NaN spreads into the weights, as in a hand-written loop.
};
/// For options from outside: `stop`, `skip`, `roll_back`, `ignore`.
[[nodiscard]] std::span<const std::pair<const char*, NonFinite>> enum_names(NonFinite) noexcept;

struct NonFiniteOptions {
  NonFinite policy = NonFinite::stop;
  /// After so many of them the run ends also with `skip` and `roll_back`.
  int64_t at_most = 10;
  /// With `roll_back`: how often the state is kept, in memory; and at the beginning of each epoch.
  Duration keep_every = Duration::steps(100);
};

}  // namespace athanor
