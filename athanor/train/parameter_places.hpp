// SPDX-License-Identifier: Apache-2.0
// Which parameter an operator reads: found by the memory that its input lies in.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace athanor {

/// Where parameters and buffers lie. A tensor belongs to one when its first number lies in the memory of that one: the
/// parameter itself, a view of it, or a tensor that was computed from it alone and told by `derive`. Not thread-safe.
class ParameterPlaces {
 public:
  /// The tensors are kept alive. They must not get other memory (`set_data`) as long as this is used.
  explicit ParameterPlaces(std::vector<at::Tensor> tensors);

  /// The number of the tensor, as given; of several in the same memory the first.
  [[nodiscard]] std::optional<size_t> find(const at::Tensor& tensor);
  /// From now on `computed` counts as tensor `number`, as long as its memory lives.
  void derive(const at::Tensor& computed, size_t number);

  [[nodiscard]] const std::vector<at::Tensor>& tensors() const noexcept { return tensors_; }

 private:
  struct Range {
    uintptr_t begin;
    uintptr_t end;
    uintptr_t furthest;  // the greatest `end` up to here
    size_t number;
  };
  struct Derived {
    c10::weak_intrusive_ptr<c10::StorageImpl> storage;
    size_t number;
  };
  std::vector<at::Tensor> tensors_;
  std::vector<Range> ranges_;  // by begin
  std::unordered_map<const c10::StorageImpl*, Derived> derived_;
};

/// The memory between the first and behind the last number of a tensor; empty for one without numbers or memory.
[[nodiscard]] std::pair<uintptr_t, uintptr_t> memory_of(const at::Tensor& tensor);

}  // namespace athanor
