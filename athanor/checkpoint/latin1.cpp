// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/latin1.hpp"

#include "athanor/core/utf8.hpp"

namespace athanor {

std::optional<std::string> latin1_bytes(std::string_view utf8) {
  std::string bytes;
  bytes.reserve(utf8.size());
  while (!utf8.empty()) {
    const auto [code, length] = first_character(utf8);
    if (length == 0 || code > 0xFF) return std::nullopt;
    bytes += static_cast<char>(code);
    utf8.remove_prefix(length);
  }
  return bytes;
}

}  // namespace athanor
