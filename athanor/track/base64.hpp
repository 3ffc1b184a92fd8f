// SPDX-License-Identifier: Apache-2.0
// Bytes as letters (RFC 4648).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace athanor::track {

[[nodiscard]] inline std::string base64(std::string_view bytes) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t group = 0;
    for (size_t i = at; i < at + 3; ++i)
      group = group << 8 | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U);
    for (size_t i = 0; i < 4; ++i) {
      text += at + i > bytes.size() ? '=' : letters[group >> (18 - 6 * i) & 63];
    }
  }
  return text;
}

}  // namespace athanor::track
