// SPDX-License-Identifier: Apache-2.0
// Connectionist temporal classification, for targets that are shorter than the sequence of predictions.
//
//     .loss = athanor::loss::CTC({.blank = 0})
#pragma once

#include "athanor/core/tree.hpp"

namespace athanor::loss {

struct CTCOptions {
  int64_t blank = 0;  ///< The class that stands for no label.
};

/// CTC loss (Graves et al., 2006): of each sample -log of the probability of its labels divided by their number, and
/// the mean of these, as `torch.nn.CTCLoss`.
///
/// Predictions are logits or log probabilities (N, T, C), or {logits, lengths} with lengths int64 (N) up to T, by
/// default T. Targets are labels (N, S) of an integer dtype, ended by a negative number where they are shorter than S;
/// or {labels, lengths} with lengths int64 (N). Both may be lists or dictionaries with the names `lengths` and
/// anything.
///
/// Labels and lengths are read, which waits for a device. What holds for all losses is in classification_loss.hpp.
class CTC {
 public:
  explicit CTC(CTCOptions options = {});
  /// Throws Error for shapes that do not fit, lengths and labels out of range, labels that are the blank, and a
  /// sequence that is too short for its labels, whose loss would be infinite and its gradient NaN.
  at::Tensor operator()(const Tree& predictions, const Tree& target) const;

 private:
  CTCOptions options_;
};

}  // namespace athanor::loss
