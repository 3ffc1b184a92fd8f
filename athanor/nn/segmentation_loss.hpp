// SPDX-License-Identifier: Apache-2.0
// Losses of overlap, for masks of classes that are rare: Dice, Tversky, Lovász.
//
//     .loss = athanor::loss::Dice()
//     .loss = athanor::loss::Tversky({.false_negatives = 0.7, .false_positives = 0.3})
//
// Logits are (N, C, …) with any number of places. What holds for all losses is in classification_loss.hpp.
#pragma once

#include <ATen/core/Tensor.h>

namespace athanor::loss {

/// What the channels of the logits are.
enum class Classes {
  exclusive,    ///< One class at each place, softmax; targets are class numbers (N, …) or probabilities (N, C, …).
  independent,  ///< A mask for each channel, sigmoid; targets are (N, C, …) in [0, 1], for one mask (N, 1, …).
};

/// What is done about a class that is nowhere in the target.
enum class Absent {
  counted,   ///< It counts as the others.
  left_out,  ///< The mean goes over the classes that are there; NaN when none is.
};

struct DiceOptions {
  Classes classes = Classes::exclusive;
  Absent absent = Absent::counted;
  bool per_sample = false;      ///< An overlap for each sample and class, else for each class over the whole batch.
  double smooth = 1;            ///< Added above and below; keeps an absent class that is not predicted from 0 / 0.
  int64_t ignore_index = -100;  ///< Class numbers that do not count.
};

/// Dice loss (Milletari et al., 2016): the mean over the classes of 1 - (2 TP + smooth) / (2 TP + FP + FN + smooth),
/// with probabilities for predictions.
class Dice {
 public:
  /// Throws Error for options out of range.
  explicit Dice(DiceOptions options = {});
  /// Throws Error for shapes that do not fit and targets out of range.
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& target) const;

 private:
  DiceOptions options_;
};

struct TverskyOptions {
  double false_positives = 0.5;
  double false_negatives = 0.5;
  double focus = 1;  ///< Exponent of each class's loss: the focal Tversky loss (Abraham & Khan, 2019) has 0.75.
  Classes classes = Classes::exclusive;
  Absent absent = Absent::counted;
  bool per_sample = false;
  double smooth = 1;
  int64_t ignore_index = -100;
};

/// Tversky loss (Salehi et al., 2017): the mean over the classes of
/// (1 - (TP + smooth) / (TP + a FP + b FN + smooth))^focus, a and b being the weights of false positives and negatives.
class Tversky {
 public:
  /// Throws Error for options out of range.
  explicit Tversky(TverskyOptions options = {});
  /// Throws Error for shapes that do not fit and targets out of range.
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& target) const;

 private:
  TverskyOptions options_;
};

struct LovaszOptions {
  Classes classes = Classes::exclusive;
  Absent absent = Absent::left_out;  ///< For exclusive classes.
  bool per_sample = false;
  int64_t ignore_index = -100;  ///< Targets that do not count, of either kind.
};

/// The Lovász extension of the Jaccard loss (Berman et al., 2018): Lovász-softmax for exclusive classes with class
/// numbers (N, …), the Lovász hinge for independent masks with targets 0 and 1 (N, C, …), each mask by itself. Sorts
/// the errors; the gradient among equal errors is that of one of their orders.
class Lovasz {
 public:
  explicit Lovasz(LovaszOptions options = {}) : options_(options) {}
  /// Throws Error for shapes that do not fit and targets out of range.
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& target) const;

 private:
  LovaszOptions options_;
};

}  // namespace athanor::loss
