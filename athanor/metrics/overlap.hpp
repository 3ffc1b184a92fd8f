// SPDX-License-Identifier: Apache-2.0
// How far predicted and true sets overlap: Jaccard index and Dice coefficient.
//
//     Jaccard = right / (predictions + targets - right)    intersection over union
//     Dice    = 2 right / (predictions + targets)          the same number as F1
//
// Of the positive class, or averaged over classes or labels; of pixels, voxels or samples alike, over all that was
// seen. segmentation.hpp has both for each image. A division by zero gives 0.
#pragma once

#include "athanor/metrics/class_ratio.hpp"

namespace athanor::metrics {

/// Called "jaccard".
class Jaccard : public detail::ClassRatio {
 public:
  /// Throws Error for options out of their range.
  explicit Jaccard(ClassificationOptions options = {});
};

/// Called "dice".
class Dice : public detail::ClassRatio {
 public:
  /// Throws Error for options out of their range.
  explicit Dice(ClassificationOptions options = {});
};

/// For `.metrics = {athanor::metrics::jaccard()}`.
[[nodiscard]] Jaccard jaccard(ClassificationOptions options = {});
[[nodiscard]] Dice dice(ClassificationOptions options = {});

/// The value of these tensors alone. Waits for the device. Throws Error with Average::per_class, which has no single
/// value: see once().
[[nodiscard]] double jaccard(const at::Tensor& predictions, const at::Tensor& target,
                             ClassificationOptions options = {});
[[nodiscard]] double dice(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options = {});

}  // namespace athanor::metrics
