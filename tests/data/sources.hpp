// SPDX-License-Identifier: Apache-2.0
// Data sets for the tests of this room.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include <cstdint>
#include <vector>

#include "athanor/data/dataset.hpp"

namespace athanor {

/// Sample i is the row (i, i, i) with the target i.
inline Dataset rows(int64_t count) {
  const at::Tensor numbers = at::arange(count);
  return Dataset(numbers.to(at::kFloat).unsqueeze(1).expand({count, 3}).contiguous(), numbers);
}

/// The same, sample by sample.
struct RowSource {
  int64_t count;
  [[nodiscard]] int64_t size() const { return count; }
  [[nodiscard]] Sample get(int64_t index) const { return {at::full({3}, static_cast<float>(index)), index}; }
};

inline std::vector<int64_t> numbers_in(const at::Tensor& tensor) {
  const at::Tensor numbers = tensor.to(at::kLong).contiguous();
  const auto* first = static_cast<const int64_t*>(numbers.const_data_ptr());
  return {first, first + numbers.numel()};
}

}  // namespace athanor
