// SPDX-License-Identifier: Apache-2.0
// The largest batch that fits into memory.
#pragma once

#include <functional>

#include "athanor/train/trainer.hpp"

namespace athanor {

struct BatchSizeFinderOptions {
  int64_t first = 2;
  /// No larger one is tried; the data set is the other end.
  int64_t most = 65536;
  /// Real updates with each size, optimizer included: some memory is only taken in the second step.
  int64_t steps = 3;
  /// Whether the gap between the last size that fitted and the first that did not is halved until it is closed. Without
  /// it sizes are doubled only.
  bool refine = false;
};

/// Trains a few steps with larger and larger batches until the memory of the device does not suffice, puts the task
/// back bit for bit after each (see Trial), and returns the largest size that fitted. Take somewhat less: memory
/// fragments in a long run.
///
/// `options` are those of the run to come; `train` is a data set or tensors, not a loader, which has its own batch
/// size. Throws Error for options out of range, for a loader, and when not even `first` fits. Other errors of a step
/// are thrown as they are.
[[nodiscard]] int64_t find_batch_size(const TrainerOptions& options, Task& task, const Data& train,
                                      const BatchSizeFinderOptions& finder = {});

}  // namespace athanor
