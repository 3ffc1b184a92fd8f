// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/allocation_limit.hpp"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <mutex>

#include "athanor/core/error.hpp"

namespace athanor::detail {
namespace {

struct AllocationBudget {
  bool limited = false;
  uint64_t most_bytes = 0;
  uint64_t most_count = 0;
  uint64_t bytes = 0;
  uint64_t count = 0;
  std::string where;
};
thread_local AllocationBudget budget;

void spend(size_t size) {
  if (!budget.limited) return;
  const bool too_large = size > budget.most_bytes - budget.bytes;
  if (!too_large && budget.count < budget.most_count) {
    budget.bytes += size;
    budget.count += 1;
    return;
  }
  throw Error(
      {.what = "the options of this file ask for a much larger net than the tensors in it",
       .where = budget.where,
       .got = too_large ? "one more tensor of " + std::to_string(size) + " bytes after " + std::to_string(budget.bytes)
                        : "more than " + std::to_string(budget.count) + " tensors",
       .expected = too_large ? "at most " + std::to_string(budget.most_bytes) + " bytes while it is built"
                             : "at most " + std::to_string(budget.most_count) + " while it is built",
       .todo = "when the file is to be trusted, give LoadModelOptions::most_bytes; "
               "athanor inspect shows its options"});
}

/// Lives for ever: tensors that were made meanwhile name it as theirs.
class LimitingAllocator final : public c10::Allocator {
 public:
  explicit LimitingAllocator(c10::Allocator* inner) : inner_(inner) {}
  c10::DataPtr allocate(size_t size) override {
    spend(size);
    return inner_->allocate(size);
  }
  [[nodiscard]] c10::DeleterFnPtr raw_deleter() const override { return inner_->raw_deleter(); }
  [[nodiscard]] bool is_simple_data_ptr(const c10::DataPtr& data) const override {
    return inner_->is_simple_data_ptr(data);
  }
  void copy_data(void* to, const void* from, std::size_t count) const override { inner_->copy_data(to, from, count); }
  [[nodiscard]] c10::Allocator* inner() const { return inner_; }

 private:
  c10::Allocator* inner_;
};

std::mutex limit_mutex;
int limits = 0;
LimitingAllocator* limiting = nullptr;

void begin_limiting() {
  const std::lock_guard lock(limit_mutex);
  if (limits++ > 0) return;
  c10::Allocator* current = c10::GetAllocator(c10::kCPU);
  if (limiting == nullptr || limiting->inner() != current) limiting = new LimitingAllocator(current);
  c10::SetAllocator(c10::kCPU, limiting);
}

void end_limiting() {
  const std::lock_guard lock(limit_mutex);
  if (--limits > 0 || c10::GetAllocator(c10::kCPU) != limiting) return;
  c10::SetAllocator(c10::kCPU, limiting->inner());
}

}  // namespace

AllocationLimit::AllocationLimit(uint64_t bytes, uint64_t count, std::string where) {
  begin_limiting();
  budget = {.limited = true, .most_bytes = bytes, .most_count = count, .where = std::move(where)};
}

AllocationLimit::~AllocationLimit() {
  budget = {};
  end_limiting();
}

}  // namespace athanor::detail
