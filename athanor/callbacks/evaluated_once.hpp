// SPDX-License-Identifier: Apache-2.0
// Which evaluations of a training batch count.
#pragma once

#include <cstdint>
#include <set>
#include <utility>

#include "athanor/core/batch.hpp"

namespace athanor::detail {

/// Within one update a batch may run several times: for several optimizers, for one that evaluates the loss again,
/// after running out of memory. Its first evaluation counts. Samples are known by their indices, a batch without
/// indices by its address.
class EvaluatedOnce {
 public:
  /// False when all samples of the batch were there before in this update.
  [[nodiscard]] bool counts(const Batch& batch);
  void end_update();

 private:
  std::set<std::pair<int32_t, int64_t>> samples_;  // part and index
  std::set<const Batch*> batches_;
};

}  // namespace athanor::detail
