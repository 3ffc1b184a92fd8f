// SPDX-License-Identifier: Apache-2.0
// The samples that a model does best and worst on, as a table for trackers.
//
//     trainer.record("worst", athanor::track::sample_table(top->ranking().worst));
#pragma once

#include <vector>

#include "athanor/callbacks/top_samples.hpp"

namespace athanor::track {

/// A row for each sample: its rank, its index, its value, target, prediction and input. A target or prediction of one
/// number is that number, scores of classes become the class with the greatest one, other tensors their shape; an input
/// that is a picture (H, W) or (C, H, W) with 1, 3 or 4 channels, uint8 or floating, is shown as one, brightened so
/// that its smallest value is black and its largest white when it leaves 0 … 1.
[[nodiscard]] events::Table sample_table(const std::vector<RankedSample>& samples);

}  // namespace athanor::track
