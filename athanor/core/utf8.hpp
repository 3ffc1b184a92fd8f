// SPDX-License-Identifier: Apache-2.0
// Text as characters: UTF-8 by the letter, as Python's strict decoder reads it. Overlong forms, surrogates, what lies
// beyond U+10FFFF and characters that are cut off are none. No LibTorch; nothing here depends on the locale.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace athanor {

/// What stands for bytes that are no character: U+FFFD.
constexpr char32_t replacement_character = 0xFFFD;

struct Utf8Character {
  char32_t code = replacement_character;
  size_t length = 0;  ///< Bytes, 1 to 4; 0: the bytes are no character.
};

namespace detail {
[[nodiscard]] Utf8Character first_character_beyond_ascii(std::string_view text) noexcept;
}  // namespace detail

/// The character at the beginning of `text`, which is not empty.
[[nodiscard]] inline Utf8Character first_character(std::string_view text) noexcept {
  const auto byte = static_cast<unsigned char>(text.front());
  return byte < 0x80 ? Utf8Character{byte, 1} : detail::first_character_beyond_ascii(text);
}

/// Whether a byte of UTF-8 is a later one of its character.
[[nodiscard]] constexpr bool continues_character(char byte) noexcept {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

/// The first byte that belongs to no character, which is the `start` of Python's UnicodeDecodeError; nothing for UTF-8.
[[nodiscard]] std::optional<size_t> invalid_utf8(std::string_view text) noexcept;
[[nodiscard]] inline bool is_utf8(std::string_view text) noexcept { return !invalid_utf8(text); }

/// The text, with a question mark in place of every byte that belongs to no character.
[[nodiscard]] std::string valid_utf8(std::string_view text);

/// How many characters a text has that is UTF-8: the columns that it takes on a screen when all have the usual width.
[[nodiscard]] size_t count_characters(std::string_view utf8) noexcept;

/// The characters, with U+FFFD in place of every byte that belongs to none.
[[nodiscard]] std::u32string code_points(std::string_view text);
/// The same text in UTF-8. What is no character (a surrogate, beyond U+10FFFF) becomes U+FFFD.
[[nodiscard]] std::string to_utf8(std::u32string_view code_points);

}  // namespace athanor
