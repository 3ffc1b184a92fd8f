// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/evaluated_once.hpp"

namespace athanor::detail {

bool EvaluatedOnce::counts(const Batch& batch) {
  if (!batch.indices.defined()) return batches_.insert(&batch).second;
  bool fresh = false;
  const int64_t* indices = batch.indices.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < batch.indices.numel(); ++row) {
    fresh = samples_.emplace(batch.part, indices[row]).second || fresh;
  }
  return fresh;
}

void EvaluatedOnce::end_update() {
  samples_.clear();
  batches_.clear();
}

}  // namespace athanor::detail
