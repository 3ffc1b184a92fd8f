// SPDX-License-Identifier: Apache-2.0
// Sparse gradients, as an embedding with sparse(true) makes them.
#pragma once

#include <string>

#include "athanor/optim/fused.hpp"

namespace athanor::optim::detail {

/// Whether the parameter has a gradient that is sparse.
inline bool has_sparse_gradient(const Parameter& parameter) {
  const at::Tensor& gradient = parameter.tensor.grad();
  return gradient.defined() && gradient.layout() == c10::kSparse;
}

/// The sparse gradient of a parameter with every index once; it takes the place of the one that was there. Throws Error
/// when it does not fit its parameter.
at::Tensor coalesced_gradient(const Parameter& parameter, const std::string& optimizer);

/// Divides the values of a coalesced gradient, in place.
void divide_values(const at::Tensor& gradient, const at::Tensor& divisor);

/// Where the numbers of a sparse gradient belong in the memory of its parameter: row r of the values is the `width`
/// numbers from `row[r] * width` on.
struct SparseRows {
  const int64_t* row = nullptr;
  int64_t rows = 0;
  int64_t width = 0;
};
/// Unset when the gradient has more than one index a row, or lies elsewhere than on the CPU, or the parameter is not
/// contiguous or neither float32 nor float64.
std::optional<SparseRows> rows_of(const at::Tensor& parameter, const at::Tensor& coalesced);

}  // namespace athanor::optim::detail
