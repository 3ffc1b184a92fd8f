// SPDX-License-Identifier: Apache-2.0
// Precision, recall, specificity and F-beta, for the positive class or averaged over classes or labels.
//
//     precision   = right predictions of the class / predictions of the class
//     recall      = right predictions of the class / targets of the class
//     specificity = what is not the class and was not predicted as it / what is not the class
//     F-beta      = (1 + beta²) precision recall / (beta² precision + recall)
//
// A division by zero gives 0, as in scikit-learn and torchmetrics.
#pragma once

#include "athanor/metrics/class_ratio.hpp"

namespace athanor::metrics {

/// Called "precision".
class Precision : public detail::ClassRatio {
 public:
  /// Throws Error for options out of their range.
  explicit Precision(ClassificationOptions options = {});
};

/// Called "recall".
class Recall : public detail::ClassRatio {
 public:
  /// Throws Error for options out of their range.
  explicit Recall(ClassificationOptions options = {});
};

/// Called "specificity".
class Specificity : public detail::ClassRatio {
 public:
  /// Throws Error for options out of their range.
  explicit Specificity(ClassificationOptions options = {});
};

/// Recall counts `beta` times as much as precision. Called "f2" with beta = 2, "f0.5" with beta = 0.5. Averages are
/// averages of the values of each class, not values of averages.
class FBeta : public detail::ClassRatio {
 public:
  /// Throws Error for options out of their range and for a beta that is not above 0.
  explicit FBeta(double beta, ClassificationOptions options = {});
};

/// FBeta with beta = 1: the harmonic mean of precision and recall. Called "f1".
class F1 : public FBeta {
 public:
  /// Throws Error for options out of their range.
  explicit F1(ClassificationOptions options = {}) : FBeta(1, options) {}
};

/// For `.metrics = {athanor::metrics::f1()}`.
[[nodiscard]] Precision precision(ClassificationOptions options = {});
[[nodiscard]] Recall recall(ClassificationOptions options = {});
[[nodiscard]] Specificity specificity(ClassificationOptions options = {});
[[nodiscard]] FBeta f_beta(double beta, ClassificationOptions options = {});
[[nodiscard]] F1 f1(ClassificationOptions options = {});

/// The value of these tensors alone. Waits for the device. Throws Error with Average::per_class, which has no single
/// value: see once().
[[nodiscard]] double precision(const at::Tensor& predictions, const at::Tensor& target,
                               ClassificationOptions options = {});
[[nodiscard]] double recall(const at::Tensor& predictions, const at::Tensor& target,
                            ClassificationOptions options = {});
[[nodiscard]] double specificity(const at::Tensor& predictions, const at::Tensor& target,
                                 ClassificationOptions options = {});
[[nodiscard]] double f_beta(double beta, const at::Tensor& predictions, const at::Tensor& target,
                            ClassificationOptions options = {});
[[nodiscard]] double f1(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options = {});

}  // namespace athanor::metrics
