// SPDX-License-Identifier: Apache-2.0
// The text of a shape.
#pragma once

#include <string>
#include <string_view>

namespace athanor {

/// The whole numbers with `separator` between them: `2, 3`, and `2 x 3` where it is ` x `.
template <class Numbers>
[[nodiscard]] std::string join_numbers(const Numbers& numbers, std::string_view separator = ", ") {
  std::string text;
  bool is_first = true;
  for (const auto number : numbers) {
    if (!is_first) text += separator;
    text += std::to_string(number);
    is_first = false;
  }
  return text;
}

}  // namespace athanor
