// SPDX-License-Identifier: Apache-2.0
// Label smoothing: class numbers become probabilities that leave a little to every class.
//
//     model.fit(train, {.callbacks = {athanor::LabelSmoothing({.classes = 10, .smoothing = 0.1})}});
#pragma once

#include "athanor/train/trainer.hpp"

namespace athanor {

struct LabelSmoothingOptions {
  /// C, the number of classes; needed.
  int64_t classes = 0;
  /// The part of the probability that is shared out evenly over all classes, from 0 to below 1.
  double smoothing = 0.1;
};

/// In training only, the target (N) or (N, d1, …) of class numbers, or (N, C, …) of probabilities, becomes
///
///     (1 - smoothing) one_hot + smoothing / C        (N, C) or (N, C, d1, …)
///
/// (Szegedy et al., 2016; as `label_smoothing` of PyTorch's cross entropy). float64 where the input is, else float32.
/// The loss must take probabilities, as loss::cross_entropy does. Metrics are given class numbers again; where the step
/// hands back a target of its own, they get that.
class LabelSmoothing {
 public:
  /// Throws Error for options out of range.
  explicit LabelSmoothing(LabelSmoothingOptions options);

  // ---- hooks
  /// Throws Error for a target of another kind, and on the CPU for a class number out of range.
  void on_train_batch_begin(Trainer& trainer, MomentInfo& info);
  void on_forward_end(Trainer& trainer, MomentInfo& info);

 private:
  LabelSmoothingOptions options_;
};

namespace detail {

/// Throws Error unless `classes` is 1 or more and `smoothing` from 0 to below 1. `owner` is the name of the options.
void check_soft_targets(int64_t classes, double smoothing, const std::string& owner);

/// The target of a batch as probabilities, smoothed.
[[nodiscard]] at::Tensor soft_targets(const Batch& batch, int64_t classes, double smoothing, const std::string& owner);

/// Makes metrics compare with the most probable class of a target of probabilities.
void compare_with_class_numbers(MomentInfo& info);

}  // namespace detail
}  // namespace athanor
