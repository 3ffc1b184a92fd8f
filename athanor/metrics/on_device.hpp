// SPDX-License-Identifier: Apache-2.0
// What a batch adds to the counters and sums of metrics, by operators on any device, reading nothing back; shared by
// the metrics, not for use outside. Each result ends with the number of places that are of no use.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "athanor/metrics/decisions.hpp"
#include "athanor/metrics/score_batch.hpp"

namespace athanor::metrics::detail {

/// For ClassCounts: int64 (3 C + 1), in multi-label (4 L + 1).
[[nodiscard]] at::Tensor class_counts_on_device(const DeviceDecisions& decided, const Layout& layout);

/// int64 (N, 3, C): right, predicted, targets of each image.
[[nodiscard]] at::Tensor image_counts_on_device(const DeviceDecisions& decided, const Layout& layout);

/// For ScoreRanking: int64 (columns * 2 * bins + 1).
[[nodiscard]] at::Tensor bin_counts_on_device(const ScoreBatch& batch, const ScoreRules& rules, int64_t bins);

/// For LogLoss: floating (3), of losses and of targets.
[[nodiscard]] at::Tensor log_losses_on_device(const ScoreBatch& batch, const ScoreRules& rules);

/// For CalibrationError: floating (3 * (bins + 1) + 1).
[[nodiscard]] at::Tensor calibration_on_device(const ScoreBatch& batch, const ScoreRules& rules, int64_t bins);

}  // namespace athanor::metrics::detail
