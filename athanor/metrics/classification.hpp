// SPDX-License-Identifier: Apache-2.0
// What the metrics of classification have in common: how predictions and targets are read, and their options.
//
// Shapes of predictions and target, and what they are read as:
//
// - Floating (N, C) or (N, C, d1, …) with C > 1, classes (N) or (N, d1, …): multi-class, the class with the greatest
//   score.
// - Floating (N, C), one-hot or probabilities (N, C), kind multiclass: multi-class on both sides.
// - Floating (N), (N, 1) or (N, 1, d1, …), 0 or 1 of the same shape or without the 1: binary, 1 where the probability
//   is above the threshold.
// - Floating (N, 2), 0 or 1 (N), kind binary: binary, the greater of two scores.
// - Floating (N, L) or (N, L, d1, …), 0 or 1 of the same shape, kind binary: binary, each element on its own.
// - The same with kind multilabel: L binary problems side by side, counted for each label.
// - Integer or bool, in the shape of the target: classes (with kind multilabel: 0 or 1) that were decided already.
//
// Targets may have any integer, bool or floating dtype that holds whole numbers. Scores may have any floating dtype;
// float16 and bfloat16 are read as float32. In multi-class a decision is the same for logits and for probabilities;
// everywhere else `from_logits` says which they are.
//
// Ties go to the lower class.
//
// On the CPU a label out of range, a NaN among the scores and a probability out of range are refused before anything is
// counted, with value and row. On another device nothing is read back: such a place is left out, counted, and refused
// by `compute`. What an ignored target stands beside is not looked at.
#pragma once

#include <cstdint>
#include <optional>

namespace athanor::metrics {

/// What kind of classification the tensors come from; `automatic` goes by the list above and refuses what is ambiguous
/// (floating predictions and target of the same shape (N, L), L > 1).
enum class Kind { automatic, binary, multiclass, multilabel };

/// How the values of the classes, or of the labels of a multi-label problem, become one.
enum class Average {
  micro,      ///< From the counts of all classes together; equals the accuracy when each sample has one class.
  macro,      ///< Mean over the classes that occur among targets or predictions; others are left out, as scikit-learn
              ///< and torchmetrics do. In multi-label over all labels.
  weighted,   ///< Mean over the classes, weighted by their number of targets.
  per_class,  ///< None: a dictionary with an entry for each class, "0", "1", …; 0 for a class that never occurs.
};

/// The options of the metrics that look at decisions: accuracy, precision, recall, F-beta, Jaccard and their kin.
struct ClassificationOptions {
  /// How the tensors are read (the list at the top of this file).
  Kind kind = Kind::automatic;
  /// Unset: of accuracy and Hamming distance `micro`; of the others in binary the value of the positive class, 1, and
  /// else `macro`. Set in binary: over both classes.
  std::optional<Average> average = {};
  /// Multi-class only: a prediction is right when fewer than `top_k` classes have a greater score (or an equal score
  /// and a lower number), and counts for the class with the greatest score when it is wrong. At most the number of
  /// classes.
  int64_t top_k = 1;
  /// Binary and multi-label: the probability above which a prediction is 1; above 0 and below 1.
  double threshold = 0.5;
  /// Binary and multi-label: predictions are logits, so that 0 is the probability 0.5. Set to false for probabilities
  /// (a net that ends in a sigmoid); they can't be told apart.
  bool from_logits = true;
  /// Targets with this value are left out. -100 is the one that LibTorch's losses ignore. Predictions of that class at
  /// other places still count as wrong. Unset: none.
  std::optional<int64_t> ignore_index = {};
  /// The number of classes, in multi-label of labels. Unset: dimension 1 of the predictions, 2 in binary. Needed when
  /// the predictions are more than two classes that were decided already and each class is counted.
  std::optional<int64_t> classes = {};

  friend bool operator==(const ClassificationOptions&, const ClassificationOptions&) = default;
};

}  // namespace athanor::metrics
