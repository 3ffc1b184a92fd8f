// SPDX-License-Identifier: Apache-2.0
// What a step is told and what it hands back.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "athanor/core/batch.hpp"
#include "athanor/metrics/accumulator.hpp"
#include "athanor/train/events.hpp"
#include "athanor/train/log.hpp"

namespace athanor {

class LayerSight;
class Update;

/// One of several losses of a step, a scalar, and its share in what is differentiated.
struct NamedLoss {
  std::string name;
  at::Tensor value;
  double weight = 1;
};

/// The result of a step. A tensor alone is the loss.
struct StepOutput {
  /// Scalar, any floating dtype: the mean over the samples of the batch. With a graph in training. May be undefined in
  /// validation and prediction, and where `losses` are given.
  at::Tensor loss = {};
  /// What metrics and `predict` get.
  Tree predictions = {};
  /// What metrics compare with; empty: the target of the batch.
  Tree target = {};
  /// Several losses: their weighted sum is the loss when that is undefined. Each is a value of its own.
  std::vector<NamedLoss> losses{};
  /// Further values, scalars: their means weighted by samples.
  std::vector<std::pair<std::string, at::Tensor>> scores{};
  /// Further values that know how to merge.
  std::vector<std::pair<std::string, Accumulator>> accumulators{};

  StepOutput();
  StepOutput(at::Tensor loss, Tree predictions = {}, Tree target = {});
  StepOutput(const StepOutput& other);
  StepOutput(StepOutput&& other) noexcept;
  StepOutput& operator=(const StepOutput& other);
  StepOutput& operator=(StepOutput&& other) noexcept;
  ~StepOutput();
  /// A step with several losses: `StepOutput::of({{"mse", mse}, {"kl", kl, 0.1}}, predictions)`.
  [[nodiscard]] static StepOutput of(std::vector<NamedLoss> losses, Tree predictions = {}, Tree target = {});

  /// `loss`, or the weighted sum of `losses`.
  [[nodiscard]] at::Tensor total() const;
};

/// Where a step stands, a place for values of its own, and, in manual optimization, the optimizers. Lives as long as
/// the step.
class StepContext {
 public:
  StepContext(Stage stage, int64_t epoch, int64_t step, int64_t batch) noexcept
      : stage_(stage), epoch_(epoch), step_(step), batch_(batch) {}

  [[nodiscard]] Stage stage() const noexcept { return stage_; }
  /// From 1 on; 0 outside of `fit`.
  [[nodiscard]] int64_t epoch() const noexcept { return epoch_; }
  /// Finished passes of the loop since the beginning of the run.
  [[nodiscard]] int64_t step() const noexcept { return step_; }
  /// Number of the batch in this pass, from 0 on; with accumulation, of the first one of the window.
  [[nodiscard]] int64_t batch() const noexcept { return batch_; }
  /// The optimizer that this run of the training step is for; the only one's name, or empty, when there is one.
  [[nodiscard]] std::string_view optimizer() const noexcept { return optimizer_; }
  /// Name of the data: `val`, `test`, or the name that was given; in training the part of a combined loader.
  [[nodiscard]] std::string_view loader() const noexcept { return loader_; }

  /// Records a value under `train_NAME`, `val_NAME`, …: its mean over the epoch, weighted by samples, unless the
  /// options say otherwise. The value must be a scalar; it is not read back from a device before it is shown.
  void log(std::string_view name, const at::Tensor& value, const LogOptions& options = {});
  void log(std::string_view name, double value, const LogOptions& options = {});
  void log(std::string_view name, Accumulator value, const LogOptions& options = {});

  /// Keeps something for `Task::end_stage`, detached.
  void keep(const Tree& value);

  // ---- manual optimization (Task::manual_optimization)
  /// Adds the gradients of `loss` to the parameters, with the scale of the loss scaler. Give `retain_graph` to
  /// differentiate the same graph again.
  void backward(const at::Tensor& loss, bool retain_graph = false);
  /// One step of the optimizer of that name (the only one when empty) with its clipping and schedule; then its
  /// gradients are taken away.
  void optimizer_step(std::string_view optimizer = {});
  /// Takes the gradients of an optimizer away.
  void zero_grad(std::string_view optimizer = {});

 private:
  friend class Update;
  friend class Evaluation;
  friend class Loop;
  friend class StepRecord;

  Stage stage_;
  int64_t epoch_;
  int64_t step_;
  int64_t batch_;
  std::string_view optimizer_;
  std::string_view loader_;
  class StepRecord* record_ = nullptr;  // null: nothing is recorded
  std::vector<Tree>* kept_ = nullptr;
  LayerSight* sight_ = nullptr;  // null: nobody looks on
  Update* update_ = nullptr;
};

}  // namespace athanor
