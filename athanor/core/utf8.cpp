// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/utf8.hpp"

#include <algorithm>
#include <cstdint>

namespace athanor {
namespace {

constexpr bool is_character(char32_t code) noexcept { return code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF); }

}  // namespace

Utf8Character detail::first_character_beyond_ascii(std::string_view text) noexcept {
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t length = lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
  if (length == 0 || length > text.size()) return {};
  char32_t code = lead & (0x7FU >> length);
  for (const char byte : text.substr(1, length - 1)) {
    if (!continues_character(byte)) return {};
    code = code << 6U | (static_cast<unsigned char>(byte) & 0x3FU);
  }
  if (code < least[length] || !is_character(code)) return {};
  return {code, length};
}

std::optional<size_t> invalid_utf8(std::string_view text) noexcept {
  for (size_t place = 0; place < text.size();) {
    const size_t length = first_character(text.substr(place)).length;
    if (length == 0) return place;
    place += length;
  }
  return std::nullopt;
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t length = first_character(text).length;
    valid += length == 0 ? "?" : text.substr(0, length);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return valid;
}

size_t count_characters(std::string_view utf8) noexcept {
  return static_cast<size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char byte) { return !continues_character(byte); }));
}

std::u32string code_points(std::string_view text) {
  std::u32string characters;
  characters.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    characters += character.code;
    text.remove_prefix(std::max<size_t>(character.length, 1));
  }
  return characters;
}

std::string to_utf8(std::u32string_view code_points) {
  constexpr uint32_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
  std::string text;
  text.reserve(code_points.size());
  for (char32_t code : code_points) {
    if (!is_character(code)) code = replacement_character;
    if (code < 0x80) {
      text += static_cast<char>(code);
      continue;
    }
    const size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    text += static_cast<char>(leads[length] | code >> (6 * (length - 1)));
    for (size_t i = length - 1; i-- > 0;) text += static_cast<char>(0x80U | (code >> (6 * i) & 0x3FU));
  }
  return text;
}

}  // namespace athanor
