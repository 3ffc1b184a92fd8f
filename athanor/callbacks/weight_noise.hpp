// SPDX-License-Identifier: Apache-2.0
// Gaussian noise on the weights while a step is computed.
//
//     model.fit(train, {.callbacks = {athanor::WeightNoise({.stddev = 0.01, .pattern = "*.weight"})}});
#pragma once

#include <string>
#include <vector>

#include "athanor/optim/parameters.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

struct WeightNoiseOptions {
  /// Standard deviation of the noise, above 0, in the units of the weights.
  double stddev = 0.01;
  /// Whether `stddev` is a part of the root mean square of each tensor instead. A tensor of zeros gets no noise.
  bool relative = false;
  /// Which parameters get noise: `*` is any run of characters, `?` one.
  std::string pattern = "*";
};

/// Forward and backward see w + noise; afterwards the weights are put back, bit for bit, before the optimizer steps
/// (Murray & Edwards, 1994; Graves, 2011). All micro-batches of an update, all its optimizers and all evaluations of
/// one that evaluates the loss again see the same noise, which is a function of the seed of the run, the step and the
/// parameter: for any number of threads and after a resume. It costs one copy of the weights in memory and, for each
/// micro-batch, a random number for each weight.
///
/// It does not go with manual optimization, where the trainer does not know when backward is over.
class WeightNoise {
 public:
  /// Throws Error for options out of range.
  explicit WeightNoise(WeightNoiseOptions options = {});

  // ---- hooks
  /// Throws Error when the pattern fits no trainable parameter, and for a task with manual optimization.
  void on_fit_begin(Trainer& trainer);
  void on_forward_begin(Trainer& trainer, MomentInfo& info);
  void on_backward_end(Trainer& trainer, MomentInfo& info);
  /// A step that failed has no end of backward.
  void on_train_batch_end(Trainer& trainer);
  void on_exception(Trainer& trainer);

 private:
  void take_away();

  WeightNoiseOptions options_;
  Parameters parameters_;          // with noise
  std::vector<at::Tensor> clean_;  // their values without it
  bool noisy_ = false;
};

}  // namespace athanor
