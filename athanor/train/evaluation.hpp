// SPDX-License-Identifier: Apache-2.0
// A pass without learning: validation, test, prediction.
#pragma once

#include <functional>

#include "athanor/train/meter.hpp"
#include "athanor/train/task.hpp"

namespace athanor {

/// Adds what a step handed back for `batch`: the loss, and the metrics where there are predictions.
void record(Meter& meter, const StepOutput& output, const Batch& batch);

/// Steps in eval mode. The caller holds EvalMode and a NoGradGuard.
class Evaluation {
 public:
  using Step = std::function<StepOutput(const Batch&, StepContext&)>;

  /// One step on a batch that lies on the device; its values go into `meter`. What it throws is explained.
  static StepOutput step(const Batch& batch, StepContext& context, Meter& meter, const Step& step);
};

}  // namespace athanor
