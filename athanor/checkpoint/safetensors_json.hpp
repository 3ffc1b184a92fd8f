// SPDX-License-Identifier: Apache-2.0
// The JSON in the header of a safetensors file; a part of safetensors_index, not for other use.
#pragma once

#include <string>
#include <string_view>

#include "athanor/checkpoint/safetensors_index.hpp"

namespace athanor {

/// The text, cut after 200 bytes, for a message: a damaged header may hold names of any length.
[[nodiscard]] std::string shortened(std::string_view text);

/// Reads the JSON of a header into an index without `data_begin`. Only its form is checked: an object of tensors, each
/// with dtype, shape and data_offsets, no name twice, nothing nested deeper. Throws Error otherwise.
[[nodiscard]] SafetensorsIndex parse_safetensors_json(std::string_view json, std::string_view file_name);

}  // namespace athanor
