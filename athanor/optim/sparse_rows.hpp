// SPDX-License-Identifier: Apache-2.0
// Sparse gradients, as an embedding with sparse(true) makes them.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "athanor/optim/elementwise.hpp"

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
void divide_values(const at::Tensor& gradient, const StepScale& scale);

/// A sparse tensor with the indices of `gradient`.
at::Tensor with_values(const at::Tensor& gradient, const at::Tensor& values);

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

/// Calls `work(rows, T{})` with T float or double where the rows can be worked on in place; says whether.
template <class Work>
bool dispatch_rows(const at::Tensor& parameter, const at::Tensor& coalesced, const Work& work) {
  const auto rows = rows_of(parameter, coalesced);
  if (!rows) return false;
  parameter.scalar_type() == at::kFloat ? work(*rows, float{}) : work(*rows, double{});
  return true;
}

template <class Kernel, class T>
ATHANOR_PACK_ENTRY void run_some_rows(const SparseRows& rows, const ElementJob& tensors, int64_t begin, int64_t end) {
  const auto& factors = *static_cast<const typename Kernel::template Factors<T>*>(tensors.factors);
  ElementJob row;
  for (int64_t r = begin; r < end; ++r) {
    for (size_t i = 0; i < 2 + Kernel::states; ++i)
      row.numbers[i] = static_cast<T*>(tensors.numbers[i]) + (i == 1 ? r : rows.row[r]) * rows.width;
    element_loop<Kernel, T>(row, factors, 0, rows.width, std::make_index_sequence<Kernel::states>());
  }
}

/// Shares rows out over LibTorch's threads. No row comes twice.
void share_rows(const SparseRows& rows, const std::function<void(int64_t begin, int64_t end)>& work);

/// Runs an elementwise kernel on the rows that a gradient names.
template <class Kernel, class T>
void run_rows(const SparseRows& rows, const at::Tensor& parameter, const at::Tensor& gradient,
              const std::array<at::Tensor, Kernel::states>& states,
              const typename Kernel::template Factors<T>& factors) {
  ElementJob tensors{.run = nullptr,
                     .numbers = {parameter.mutable_data_ptr(), gradient._values().mutable_data_ptr()},
                     .factors = &factors,
                     .count = 0,
                     .divisor = 1};
  for (size_t i = 0; i < Kernel::states; ++i) tensors.numbers[2 + i] = states[i].mutable_data_ptr();
  share_rows(rows, [&](int64_t begin, int64_t end) { run_some_rows<Kernel, T>(rows, tensors, begin, end); });
  parameter.unsafeGetTensorImpl()->bump_version();
}

}  // namespace athanor::optim::detail
