// SPDX-License-Identifier: Apache-2.0
// Knowledge distillation: a student learns from labels and from a teacher's logits.
//
//     // In the step of a task, with a frozen teacher:
//     return loss({{"student", student(x)}, {"teacher", teacher(x)}}, labels);
//     // With logits that were computed before, as part of the target:
//     model.fit({images, Tree{{"label", labels}, {"teacher", logits}}});
#pragma once

#include "athanor/core/tree.hpp"

namespace athanor::loss {

struct DistillationOptions {
  double temperature = 4;  ///< Both distributions are softened by it.
  double teacher = 0.5;    ///< The share of the teacher in the loss, from 0 to 1; the labels have the rest.
};

/// Hinton et al. (2015): teacher x T² KL(teacher || student) at temperature T + (1 - teacher) x cross entropy with the
/// labels, each the mean over samples (and places). Logits are (N, C, …), labels int64 (N, …).
///
/// The student's logits are the predictions, or `student` in them; the teacher's are `teacher` in the predictions or in
/// the target; the labels are the target, or `label` in it, and not needed with a share of 1. No gradient goes to the
/// teacher. What holds for all losses is in classification_loss.hpp.
class Distillation {
 public:
  /// Throws Error for options out of range.
  explicit Distillation(DistillationOptions options = {});
  /// Throws Error for what is not there, shapes that do not fit, labels out of range, and on the CPU a teacher that is
  /// not finite.
  at::Tensor operator()(const Tree& predictions, const Tree& target) const;

 private:
  DistillationOptions options_;
};

}  // namespace athanor::loss
