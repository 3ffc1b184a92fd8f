// SPDX-License-Identifier: Apache-2.0
// Precision over recall, to be looked at.
//
//     trainer.record("cats", athanor::track::precision_recall(scores, targets));
#pragma once

#include <ATen/core/Tensor.h>

#include "athanor/train/events.hpp"

namespace athanor::track {

/// `scores` (N): floating, 0 to 1. `targets` (N): bool or integer, 0 or 1. A score that is at or above a threshold is
/// called positive; the thresholds are 0, 1/(T-1), …, 1. Waits for the device. Throws Error for other shapes, a score
/// out of range or NaN, and fewer than 2 thresholds.
[[nodiscard]] events::PrecisionRecall precision_recall(const at::Tensor& scores, const at::Tensor& targets,
                                                       int64_t thresholds = 127);

}  // namespace athanor::track
