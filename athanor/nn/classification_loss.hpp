// SPDX-License-Identifier: Apache-2.0
// Losses of classes beside cross entropy: focal, and label smoothing.
//
//     .loss = athanor::loss::Focal({.gamma = 2})
//
// What holds for all losses of athanor::loss: half precision is computed in float32, autocast or not, and gives a
// float32 loss. Predictions that are NaN give a loss that is NaN, which the trainer's non-finite policy sees. Shapes
// and dtypes are checked everywhere; values of targets on the CPU only, where it waits for nobody. Copies are cheap.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace athanor::loss {

struct FocalOptions {
  double gamma = 2;             ///< How much less certain ones count; 0: cross entropy.
  std::vector<double> alpha{};  ///< A weight for each class; empty: 1.
  int64_t ignore_index = -100;  ///< Targets that do not count.
};

/// Focal loss (Lin et al., 2017) of logits (N, C, …) and class numbers (N, …): the mean of
/// -alpha (1 - p)^gamma log p, p being the probability of the target, over the targets that count; NaN when none does.
class Focal {
 public:
  /// Throws Error for options out of range.
  explicit Focal(FocalOptions options = {});
  /// Throws Error for shapes that do not fit, a wrong number of weights, and targets out of range.
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& target) const;
  /// (N, …); 0 where a target does not count.
  [[nodiscard]] at::Tensor by_element(const at::Tensor& logits, const at::Tensor& target) const;
  bool target_is_class_index = true;

 private:
  FocalOptions options_;
};

struct BinaryFocalOptions {
  double gamma = 2;
  std::optional<double> alpha = 0.25;  ///< The weight of positives, 1 - alpha that of negatives; unset: both 1.
};

/// Focal loss of independent logits (N, …) and targets of the same shape in [0, 1], as torchvision's
/// `sigmoid_focal_loss` with the mean over all elements.
class BinaryFocal {
 public:
  /// Throws Error for options out of range.
  explicit BinaryFocal(BinaryFocalOptions options = {});
  /// Throws Error for shapes that differ, and targets out of [0, 1].
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& target) const;
  [[nodiscard]] at::Tensor by_element(const at::Tensor& logits, const at::Tensor& target) const;

 private:
  BinaryFocalOptions options_;
};

struct SmoothedCrossEntropyOptions {
  double smoothing = 0.1;              ///< The part that is shared out evenly over all classes, from 0 to 1.
  std::vector<double> class_weight{};  ///< For each class; empty: 1. The mean is one of these weights too.
  int64_t ignore_index = -100;         ///< Class numbers that do not count.
};

/// Cross entropy with label smoothing (Szegedy et al., 2016) of logits (N, C, …), for class numbers (N, …) or soft
/// targets, probabilities (N, C, …), as `torch.nn.CrossEntropyLoss`; NaN when no target counts.
class SmoothedCrossEntropy {
 public:
  /// Throws Error for options out of range.
  explicit SmoothedCrossEntropy(SmoothedCrossEntropyOptions options = {});
  /// Throws Error for shapes that do not fit, a wrong number of weights, class numbers out of range, and probabilities
  /// that are out of [0, 1] or do not sum to 1 within 0.01.
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& target) const;
  /// (N, …); 0 where a target does not count.
  [[nodiscard]] at::Tensor by_element(const at::Tensor& logits, const at::Tensor& target) const;
  bool target_is_class_index = true;

 private:
  [[nodiscard]] at::Tensor compute(const at::Tensor& logits, const at::Tensor& target, int64_t reduction) const;
  SmoothedCrossEntropyOptions options_;
};

}  // namespace athanor::loss
