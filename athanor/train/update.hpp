// SPDX-License-Identifier: Apache-2.0
// One optimizer step over the micro-batches that it holds: the unit of training, which can be run again.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "athanor/optim/clip.hpp"
#include "athanor/optim/loss_scaler.hpp"
#include "athanor/train/buffers.hpp"
#include "athanor/train/callback.hpp"
#include "athanor/train/meter.hpp"
#include "athanor/train/penalty.hpp"
#include "athanor/train/precision.hpp"
#include "athanor/train/step_record.hpp"
#include "athanor/train/task.hpp"
#include "athanor/train/update_result.hpp"

namespace athanor {

struct UpdateOptions {
  uint64_t seed = 0;
  Precision precision = Precision::float32;
  LossScalerOptions scaler = {};
  /// For optimizers that have none of their own.
  std::optional<Clip> clip = {};
  std::vector<Penalty> penalties = {};
  /// Whether a loss or gradient that is not finite is looked for; a step with one changes nothing.
  bool check_finite = true;
  /// Whether a batch that does not fit into memory is run again in halves.
  bool split_when_out_of_memory = true;
  /// Whether the output of every operator is looked at.
  bool detect_anomaly = false;
  /// Instead of the task's training step.
  StepFunction step = {};
};

/// Runs updates of one task. Everything that a step draws is keyed by (seed, step, optimizer, micro-batch), so an
/// update that is run again gives the same bits.
class Update {
 public:
  Update(Trainer& trainer, Task& task, Optimizers& optimizers, Meter& meter, at::Device device);

  /// Options and callbacks for the updates from now on. Throws Error for those that don't go together.
  void configure(UpdateOptions options, const Moments* moments);
  /// How many updates the run will have, when that is known: schedules are told.
  void set_length(std::optional<int64_t> steps, std::optional<double> epochs);

  /// A sentence for each schedule whose own length is not that of the run.
  [[nodiscard]] std::vector<std::string> compare_schedules() const;

  /// Steps every optimizer that is due in `context.step()` with the gradient of the mean loss over `window`, weighted
  /// by samples. The batches must lie on the device. What LibTorch throws in a step arrives as Error, an exception of
  /// another type as it is; no optimizer has stepped then with an incomplete gradient.
  UpdateResult run(std::span<Batch> window, StepContext& context);

  /// Forward and backward for one optimizer, and no step: its gradients are there afterwards, and no value is recorded.
  void gradients_only(Batch batch, const std::string& optimizer);

  /// Runs an update again, without a step and without values, to find the layer out of which NaN or infinity came
  /// first. A sentence; empty when everything was finite this time.
  [[nodiscard]] std::string find_layer(std::vector<Batch> window, const StepContext& context);

  /// Steps the schedules that go by epochs.
  void end_epoch(double epochs);

  /// A value of the last update, for `report_step_values`; those of the update before are forgotten when one begins.
  void log_step(std::string_view name, double value);
  /// What losses are multiplied by; 1 without a scaler. Waits for the device with one.
  [[nodiscard]] double loss_scale() const;

  /// What the last update logged with `per_step`, under `train_NAME`. Reads it, which waits for the device.
  void report_step_values(Values& values) const;
  /// Learning rate, momentum and weight decay of every optimizer and group: `lr`, `lr_generator`, `lr_generator_1`.
  void report_hyperparameters(Values& values) const;
  void state(State& state);

 private:
  friend class StepContext;

  struct Due {
    size_t index;
    NamedOptimizer& named;
  };
  struct Outcome {  // of one optimizer
    at::Tensor loss;
    at::Tensor gradient_norm;
    bool finite = true;
    at::Tensor not_finite;
  };
  struct Pending {
    StepOutput output;
    const Batch* batch;
    StepRecord record;
  };

  void run_optimizers(std::span<Batch> window, StepContext& context, UpdateResult& result);
  Outcome run_one(std::span<Batch> window, StepContext& context, Due due, bool measured);
  at::Tensor evaluate(std::span<Batch> window, StepContext& context, size_t optimizer);
  at::Tensor accumulate(std::span<Batch> pieces, StepContext& context, size_t optimizer);
  StepOutput forward(Batch& batch, StepContext& context, size_t optimizer, size_t micro, Pending& pending);
  void backward(const at::Tensor& loss, double share, const Optimizer& optimizer, bool retain_graph = false);
  void add_penalties(const Optimizer& optimizer);
  Outcome finish(const at::Tensor& loss, Due due, StepContext& context, bool stepped_already);
  void add_loss(Outcome& outcome) const;
  void count_step(Due due, StepContext& context);
  bool split_further(std::span<Batch> window, const StepContext& context);
  void commit(std::string_view loss_name, bool measured);
  void step_schedule(Due due);
  void tell(Moment moment, Batch* batch, StepContext* context, StepOutput* output, std::string_view optimizer);
  [[nodiscard]] bool vetoed(StepContext& context, std::string_view optimizer);
  [[nodiscard]] Due find(std::string_view optimizer);
  UpdateResult run_manually(std::span<Batch> window, StepContext& context);
  void manual_backward(const at::Tensor& loss, bool retain_graph);
  void manual_step(std::string_view optimizer, StepContext& context);
  void manual_zero_grad(std::string_view optimizer);

  Trainer& trainer_;
  Task& task_;
  Optimizers& optimizers_;
  Meter& meter_;
  at::Device device_;
  UpdateOptions options_;
  const Moments* moments_ = nullptr;
  std::optional<LossScaler> scaler_;
  Buffers buffers_;
  std::vector<int64_t> updates_;  // of each optimizer
  std::optional<int64_t> total_steps_;
  std::optional<double> total_epochs_;
  int64_t window_size_ = 0;  // micro-batches of the running update
  int64_t parts_ = 1;        // into which a batch is divided, because it did not fit into memory
  std::vector<Batch> pieces_;
  std::vector<Pending> pending_;
  std::vector<StepRecord::Log> step_logs_;
  Outcome manual_;       // of the running step, with manual optimization
  at::Tensor overflow_;  // of all optimizers of the running update, for the scaler
  at::Tensor root_;      // the gradient that backward starts from
  double root_share_ = 0;
};

/// A number of an optimizer's group, under the name that it has in the history: `lr`, `lr_generator`, `lr_generator_1`.
struct OptimizerSetting {
  std::string name;
  NamedOptimizer* named;
  Optimizer::Field field;
  size_t group;
  double value;
};
/// Learning rates, momenta and weight decays of all groups.
[[nodiscard]] std::vector<OptimizerSetting> settings_of(Optimizers& optimizers);

/// The samples of all batches.
[[nodiscard]] int64_t count_samples(std::span<const Batch> window);

/// Throws Error unless `loss` is a scalar of a floating dtype, with a graph when `trained`.
void check_loss(const at::Tensor& loss, bool trained);

}  // namespace athanor
