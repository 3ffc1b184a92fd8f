// SPDX-License-Identifier: Apache-2.0
// One optimizer step over the micro-batches that it holds: the unit of training, which can be run again.
#pragma once

#include <span>

#include "athanor/train/meter.hpp"
#include "athanor/train/task.hpp"

namespace athanor {

struct UpdateResult {
  at::Tensor loss;  ///< Detached scalar on the device: the mean over the samples of the update.
  int64_t samples = 0;
};

/// Runs updates of one task. Everything that a step draws is keyed by (seed, step, optimizer, micro-batch), so an
/// update that is run again gives the same bits.
class Update {
 public:
  Update(Task& task, Optimizers& optimizers, Meter& meter, uint64_t seed) noexcept
      : task_(task), optimizers_(optimizers), meter_(meter), seed_(seed) {}

  /// Steps every optimizer that is due in `context.step()` with the gradient of the mean loss over `window`, weighted
  /// by samples. The batches must lie on the device. What LibTorch throws in a step arrives as Error, an exception of
  /// another type as it is; no optimizer has stepped then with an incomplete gradient.
  UpdateResult run(std::span<const Batch> window, StepContext& context);

 private:
  at::Tensor evaluate(std::span<const Batch> window, StepContext& context, size_t optimizer, bool measured);
  void backward(const at::Tensor& loss, double share, const Optimizer& optimizer);

  Task& task_;
  Optimizers& optimizers_;
  Meter& meter_;
  uint64_t seed_;
  at::Tensor root_;  // the gradient that backward starts from
  double root_share_ = 0;
};

/// Throws Error unless `loss` is a scalar of a floating dtype, with a graph when `trained`.
void check_loss(const at::Tensor& loss, bool trained);

}  // namespace athanor
