// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/parameter_places.hpp"

#include <algorithm>

namespace athanor {

std::pair<uintptr_t, uintptr_t> memory_of(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage() || tensor.numel() == 0) return {0, 0};
  const auto begin = reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
  if (begin == 0) return {0, 0};
  size_t last = 0;
  for (int64_t i = 0; i < tensor.dim(); ++i) last += static_cast<size_t>((tensor.size(i) - 1) * tensor.stride(i));
  return {begin, begin + (last + 1) * tensor.element_size()};
}

ParameterPlaces::ParameterPlaces(std::vector<at::Tensor> tensors) : tensors_(std::move(tensors)) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto [begin, end] = memory_of(tensors_[i]);
    if (begin != end) ranges_.push_back({begin, end, end, i});
  }
  std::stable_sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < ranges_.size(); ++i) {
    ranges_[i].furthest = std::max(ranges_[i].end, ranges_[i - 1].furthest);
  }
}

std::optional<size_t> ParameterPlaces::find(const at::Tensor& tensor) {
  const uintptr_t place = memory_of(tensor).first;
  if (place == 0) return std::nullopt;
  std::optional<size_t> first;
  auto range =
      std::upper_bound(ranges_.begin(), ranges_.end(), place, [](uintptr_t p, const Range& r) { return p < r.begin; });
  while (range != ranges_.begin()) {
    --range;
    if (range->furthest <= place) break;
    if (place >= range->end || tensors_[range->number].device() != tensor.device()) continue;
    if (!first || range->number < *first) first = range->number;
  }
  if (first || derived_.empty()) return first;
  const auto entry = derived_.find(tensor.storage().unsafeGetStorageImpl());
  if (entry == derived_.end()) return std::nullopt;
  if (!entry->second.storage.expired()) return entry->second.number;
  derived_.erase(entry);
  return std::nullopt;
}

void ParameterPlaces::derive(const at::Tensor& computed, size_t number) {
  if (!computed.defined() || !computed.has_storage()) return;
  derived_.insert_or_assign(computed.storage().unsafeGetStorageImpl(),
                            Derived{computed.storage().getWeakStorageImpl(), number});
}

}  // namespace athanor
