// SPDX-License-Identifier: Apache-2.0
// How a run is shown: asked for here, provided by the room `track`.
#pragma once

#include <iosfwd>

#include "athanor/train/events.hpp"

namespace athanor {

/// How much is said on standard output.
enum class Verbosity {
  silent,   ///< Nothing at all.
  quiet,    ///< One line an epoch, warnings, and the end. No header, no bar.
  normal,   ///< Header, live bar on a terminal, one line an epoch, all messages, the end.
  verbose,  ///< And the time of a step in every line, and a line for each pass of `evaluate` and `predict`.
};

/// What the console of a run does.
struct DisplayOptions {
  Verbosity verbosity = Verbosity::normal;
  /// Decimals of values.
  int digits = 4;
  /// Null: std::cout. It must live as long as the run.
  std::ostream* stream = nullptr;
};

/// The listeners of every run: the console, and the files of the run folder where there is one.
[[nodiscard]] Listeners standard_listeners(const DisplayOptions& options);

}  // namespace athanor
