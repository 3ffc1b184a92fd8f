// SPDX-License-Identifier: Apache-2.0
// Numbers in JSON, which has no NaN and no infinity.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>

#include "athanor/core/values.hpp"

namespace athanor::track {

/// The number, or one of the strings `"NaN"`, `"Infinity"`, `"-Infinity"`, which `float()` of Python, `Number()` of
/// JavaScript and protocol buffers turn back.
[[nodiscard]] inline nlohmann::ordered_json json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

[[nodiscard]] inline nlohmann::ordered_json json_numbers(const Values& values) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const auto& [name, value] : values) object[name] = json_number(value);
  return object;
}

}  // namespace athanor::track
