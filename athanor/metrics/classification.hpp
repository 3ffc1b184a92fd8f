// SPDX-License-Identifier: Apache-2.0
// What the metrics of classification have in common: how predictions and targets are read.
//
// | predictions                            | target                 | read as                                        |
// |----------------------------------------|------------------------|------------------------------------------------|
// | floating (N, C) or (N, C, d1, …), C > 1 | classes (N) or (N, d1, …) | multi-class: the class with the greatest
// score | | floating (N), (N, 1), (N, 1, d1, …)    | 0 or 1, same or without the 1 | binary: 1 where above the
// threshold     | | floating (N, L), kind binary           | 0 or 1 (N, L)          | binary, each element on its own
// (multi-label)  | | floating (N, C), kind multiclass       | one-hot or probabilities (N, C) | multi-class on both
// sides             | | floating (N, 2), kind binary           | 0 or 1 (N)             | binary: the greater of two
// scores              | | integer or bool, shape of the target   | classes                | classes that were decided
// already              |
//
// Targets may have any integer, bool or floating dtype that holds whole numbers. Scores may be logits or
// probabilities in multi-class; in binary say which by `from_logits`.
//
// Ties go to the lower class. A row of scores with NaN in it gives the class of its first NaN, as argmax of LibTorch
// does; in binary NaN is never above the threshold. So a broken model shows as a bad value, not as an exception.
//
// On the CPU a label out of range is refused before anything is counted, with its value and row. On another device
// nothing is read back: such a label is left out, counted, and refused by `compute`.
#pragma once

namespace athanor::metrics {

/// What kind of classification the tensors come from; `automatic` goes by the table above and refuses what is
/// ambiguous (floating predictions and target of the same shape (N, L), L > 1).
enum class Kind { automatic, binary, multiclass };

}  // namespace athanor::metrics
