// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/utf8.hpp"

#include <cstddef>
#include <cstdint>

namespace athanor {
namespace {

/// The character that begins at `place`, which moves behind it; none for bytes that are not UTF-8.
std::optional<std::uint32_t> next_character(std::string_view bytes, std::size_t& place) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])); };
  const std::uint32_t lead = byte(place);
  if (lead < 0x80) {
    ++place;
    return lead;
  }
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes.size() - place < length) return std::nullopt;
  std::uint32_t character = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(place + i) & 0xC0U) != 0x80U) return std::nullopt;
    character = character << 6U | (byte(place + i) & 0x3FU);
  }
  constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (character < smallest[length] || character > 0x10FFFF) return std::nullopt;
  if (character >= 0xD800 && character <= 0xDFFF) return std::nullopt;
  place += length;
  return character;
}

}  // namespace

bool is_utf8(std::string_view bytes) noexcept {
  for (std::size_t place = 0; place < bytes.size();) {
    if (!next_character(bytes, place)) return false;
  }
  return true;
}

std::optional<std::string> latin1_bytes(std::string_view utf8) {
  std::string bytes;
  bytes.reserve(utf8.size());
  for (std::size_t place = 0; place < utf8.size();) {
    const auto character = next_character(utf8, place);
    if (!character || *character > 0xFF) return std::nullopt;
    bytes += static_cast<char>(*character);
  }
  return bytes;
}

}  // namespace athanor
