// SPDX-License-Identifier: Apache-2.0
// What a step is told and what it hands back.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "athanor/core/batch.hpp"
#include "athanor/train/events.hpp"

namespace athanor {

class Meter;

/// The result of a step. A tensor alone is the loss.
struct StepOutput {
  /// Scalar, any floating dtype: the mean over the samples of the batch. With a graph in training. May be undefined in
  /// validation and prediction.
  at::Tensor loss = {};
  /// What metrics and `predict` get.
  Tree predictions = {};
  /// What metrics compare with; empty: the target of the batch.
  Tree target = {};

  StepOutput() = default;
  StepOutput(at::Tensor loss, Tree predictions = {}, Tree target = {})
      : loss(std::move(loss)), predictions(std::move(predictions)), target(std::move(target)) {}
};

/// Where a step stands, and a place for values of its own. Lives as long as the step.
class StepContext {
 public:
  StepContext(Stage stage, int64_t epoch, int64_t step, int64_t batch) noexcept
      : stage_(stage), epoch_(epoch), step_(step), batch_(batch) {}

  [[nodiscard]] Stage stage() const noexcept { return stage_; }
  /// From 1 on; 0 outside of `fit`.
  [[nodiscard]] int64_t epoch() const noexcept { return epoch_; }
  /// Finished passes of the loop since the beginning of the run.
  [[nodiscard]] int64_t step() const noexcept { return step_; }
  /// Number of the batch in this pass, from 0 on.
  [[nodiscard]] int64_t batch() const noexcept { return batch_; }
  /// The optimizer that this run of the training step is for; the only one's name, or empty, when there is one.
  [[nodiscard]] std::string_view optimizer() const noexcept { return optimizer_; }

  /// Records a value under `train_NAME`, `val_NAME`, …: its mean over the epoch, weighted by samples. The value must
  /// be a scalar; it is not read back from a device before it is shown.
  void log(std::string_view name, const at::Tensor& value);
  void log(std::string_view name, double value);

 private:
  friend class Update;
  friend class Evaluation;
  Stage stage_;
  int64_t epoch_;
  int64_t step_;
  int64_t batch_;
  std::string_view optimizer_;
  Meter* meter_ = nullptr;
  double samples_ = 0;
};

}  // namespace athanor
