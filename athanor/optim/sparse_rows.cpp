// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/sparse_rows.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>

#include <algorithm>

#include "athanor/core/parallel.hpp"

namespace athanor::optim::detail {

at::Tensor coalesced_gradient(const Parameter& parameter, const std::string& optimizer) {
  const at::Tensor& tensor = parameter.tensor;
  const at::Tensor& gradient = tensor.grad();
  if (gradient.sizes() != tensor.sizes() || gradient.scalar_type() != tensor.scalar_type() ||
      gradient.device() != tensor.device()) {
    throw Error({.what = "a gradient does not fit its parameter",
                 .where = optimizer + ", " + parameter.name,
                 .got = describe(gradient),
                 .expected = describe(tensor)});
  }
  if (!gradient.is_coalesced()) tensor.mutable_grad() = gradient.coalesce();
  return tensor.grad();
}

void divide_values(const at::Tensor& gradient, const at::Tensor& divisor) {
  std::vector<at::Tensor> values{gradient._values()};
  divide_gradients(values, divisor);
}

void divide_values(const at::Tensor& gradient, const StepScale& scale) {
  if (scale.on_device.defined()) divide_values(gradient, scale.on_device);
  if (scale.divisor != 1) divide_values(gradient, make_host_scalar(static_cast<float>(scale.divisor)));
}

at::Tensor with_values(const at::Tensor& gradient, const at::Tensor& values) {
  return at::_sparse_coo_tensor_unsafe(gradient._indices(), values, gradient.sizes(),
                                       values.options().layout(at::kSparse),
                                       /*is_coalesced=*/true);
}

std::optional<SparseRows> rows_of(const at::Tensor& parameter, const at::Tensor& coalesced) {
  const at::ScalarType dtype = parameter.scalar_type();
  const at::Tensor indices = coalesced._indices();
  if (!parameter.is_cpu() || !has_packs() || (dtype != at::kFloat && dtype != at::kDouble) ||
      !parameter.is_contiguous() || coalesced.sparse_dim() != 1 || !indices.is_contiguous() ||
      !coalesced._values().is_contiguous()) {
    return std::nullopt;
  }
  const int64_t rows = indices.size(1);
  return SparseRows{.row = static_cast<const int64_t*>(indices.const_data_ptr()),
                    .rows = rows,
                    .width = rows == 0 ? 0 : coalesced._values().numel() / rows};
}

void share_rows(const SparseRows& rows, const std::function<void(int64_t begin, int64_t end)>& work) {
  constexpr int64_t numbers_worth_a_thread = 1 << 14;
  parallel_for(rows.rows, numbers_worth_a_thread / std::max<int64_t>(1, rows.width), work);
}

}  // namespace athanor::optim::detail
