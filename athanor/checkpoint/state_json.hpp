// SPDX-License-Identifier: Apache-2.0
// The JSON of a saved state as plain values, before its tensors are looked up. No LibTorch here; tree_json.hpp makes
// trees of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace athanor {

struct StateJson {
  enum class Kind { null, boolean, integer, real, text, tensor, list, dictionary };
  Kind kind = Kind::null;
  bool boolean = false;
  int64_t integer = 0;
  double real = 0;
  std::string text = {};  ///< Of a text, bytes included; of a tensor its name.
  /// Of a list, with empty names, or of a dictionary, where each name comes once.
  std::vector<std::pair<std::string, StateJson>> entries = {};
};

/// Reads what tree_to_json wrote. Throws Error for what is not JSON in UTF-8, for numbers that neither int64 nor double
/// holds, a name that comes twice, an unknown name with `$` and more than 65 levels; `where` is the place in it. Takes
/// time in proportion to the text, and memory of some 150 bytes for each value.
[[nodiscard]] StateJson parse_state_json(std::string_view json, const std::string& where);

}  // namespace athanor
