// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/host_scalar.hpp"

#include <ATen/EmptyTensor.h>

namespace athanor {

at::Tensor make_host_scalar(float value) {
  at::Tensor scalar(at::detail::empty_cpu({}, at::TensorOptions().dtype(at::kFloat)));
  *scalar.mutable_data_ptr<float>() = value;
  return scalar;
}

double read_host_scalar(const at::Tensor& value) {
  switch (value.scalar_type()) {
    case at::kFloat:
      return *value.const_data_ptr<float>();
    case at::kDouble:
      return *value.const_data_ptr<double>();
    case at::kHalf:
      return *value.const_data_ptr<at::Half>();
    case at::kBFloat16:
      return *value.const_data_ptr<at::BFloat16>();
    default:
      return value.item().toDouble();
  }
}

}  // namespace athanor
