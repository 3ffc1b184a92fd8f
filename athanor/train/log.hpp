// SPDX-License-Identifier: Apache-2.0
// How a value that a step logs becomes a value of the epoch, and where it is shown.
#pragma once

#include <optional>

namespace athanor {

/// What the values of a pass are reduced to. Only the mean is weighted. A NaN among them shows in all but `last`.
enum class Reduce { mean, sum, last, minimum, maximum };

struct LogOptions {
  /// Over the epoch. An Accumulator brings its own.
  Reduce reduce = Reduce::mean;
  /// The weight of this value in the mean: tokens, nodes, valid pixels. Unset: the samples of the batch. May differ
  /// from call to call, the other options may not.
  std::optional<double> samples = {};
  /// A value of the epoch: in the history, for trackers and monitors.
  bool per_epoch = true;
  /// Also a value of each step, for trackers.
  bool per_step = false;
  /// Shown in the live bar.
  bool bar = true;
};

}  // namespace athanor
