// SPDX-License-Identifier: Apache-2.0
// Tensors with their names.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace athanor {

/// Tensors with their names, in an order that the owner chose.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

}  // namespace athanor
