// SPDX-License-Identifier: Apache-2.0
// A pass without learning: validation, test, prediction.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "athanor/train/meter.hpp"
#include "athanor/train/step_record.hpp"
#include "athanor/train/task.hpp"
#include "athanor/train/ticker.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

/// One pass over one loader in eval mode without gradients. Every module gets its own mode back at the end of its life.
class Evaluation {
 public:
  /// `meter` null: nothing is measured, as for predictions.
  Evaluation(Trainer& trainer, const Feed& feed, Stage stage, std::string name, Meter* meter, Listeners listeners);
  ~Evaluation();

  /// One batch; null at the end.
  const StepOutput* next();
  [[nodiscard]] int64_t batches() const noexcept { return batches_; }

  /// One step on a batch that lies on the device; its values go into `meter`. What it throws is explained.
  static StepOutput step(const Batch& batch, StepContext& context, Meter& meter, bool with_loss,
                         const StepFunction& step);

 private:
  void begin();
  void finish();
  void report(int64_t done);
  void tell(Moment moment, Batch* batch, StepContext* context, StepOutput* output);

  Trainer& trainer_;
  const Feed feed_;
  Stage stage_;
  std::string name_;
  Meter unmeasured_;
  Meter& meter_;
  Listeners listeners_;
  EvalMode eval_;
  Loader loader_;
  int64_t batches_;
  int64_t epoch_;
  StepFunction step_;
  std::optional<Pass> pass_;
  int64_t done_ = 0;
  bool finished_ = false;
  StepOutput output_;
  std::vector<Tree> kept_;
  Ticker ticker_;
  std::chrono::steady_clock::time_point begun_;
};

}  // namespace athanor
