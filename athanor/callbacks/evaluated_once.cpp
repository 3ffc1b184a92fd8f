// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/evaluated_once.hpp"

#include <cstdint>
#include <set>
#include <utility>

namespace athanor::detail {

struct EvaluatedOnce::Seen {
  std::set<std::pair<int32_t, int64_t>> samples;  // part and index
  std::set<const Batch*> batches;
};

EvaluatedOnce::EvaluatedOnce() : seen_(new Seen) {}
EvaluatedOnce::EvaluatedOnce(const EvaluatedOnce& other) : seen_(new Seen(*other.seen_)) {}
EvaluatedOnce::EvaluatedOnce(EvaluatedOnce&& other) noexcept = default;
EvaluatedOnce& EvaluatedOnce::operator=(EvaluatedOnce other) noexcept {
  seen_ = std::move(other.seen_);
  return *this;
}
EvaluatedOnce::~EvaluatedOnce() = default;

bool EvaluatedOnce::counts(const Batch& batch) {
  if (!batch.indices.defined()) return seen_->batches.insert(&batch).second;
  bool fresh = false;
  const int64_t* indices = batch.indices.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < batch.indices.numel(); ++row) {
    fresh = seen_->samples.emplace(batch.part, indices[row]).second || fresh;
  }
  return fresh;
}

void EvaluatedOnce::end_update() {
  seen_->samples.clear();
  seen_->batches.clear();
}

}  // namespace athanor::detail
