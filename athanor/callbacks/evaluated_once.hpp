// SPDX-License-Identifier: Apache-2.0
// Which evaluations of a training batch count.
#pragma once

#include "athanor/core/batch.hpp"
#include "athanor/core/owned.hpp"

namespace athanor::detail {

/// Within one update a batch may run several times: for several optimizers, for one that evaluates the loss again,
/// after running out of memory. Its first evaluation counts. Samples are known by their indices, a batch without
/// indices by its address.
class EvaluatedOnce {
 public:
  EvaluatedOnce();
  EvaluatedOnce(const EvaluatedOnce& other);
  EvaluatedOnce(EvaluatedOnce&& other) noexcept;
  EvaluatedOnce& operator=(EvaluatedOnce other) noexcept;
  ~EvaluatedOnce();
  /// False when all samples of the batch were there before in this update.
  [[nodiscard]] bool counts(const Batch& batch);
  void end_update();

 private:
  struct Seen;
  Owned<Seen> seen_;
};

}  // namespace athanor::detail
