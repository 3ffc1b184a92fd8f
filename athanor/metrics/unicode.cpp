// SPDX-License-Identifier: Apache-2.0
// Text as Python's str sees it.
#include "athanor/metrics/unicode.hpp"

#include <algorithm>

#include "athanor/core/utf8.hpp"

namespace athanor::metrics::detail {
namespace {

bool is_ascii(std::string_view text) noexcept {
  unsigned any = 0;
  for (const char byte : text) any |= static_cast<unsigned char>(byte);
  return any < 0x80;
}

/// The character that begins at `place`, which moves behind it.
char32_t take_character(std::string_view text, size_t& place) noexcept {
  const auto [code, length] = first_character(text.substr(place));
  place += std::max<size_t>(length, 1);
  return code;
}

template <class Range>
const Range* character_range_of(std::span<const Range> ranges, char32_t character) noexcept {
  const auto found =
      std::partition_point(ranges.begin(), ranges.end(), [&](const Range& range) { return range.last < character; });
  return found != ranges.end() && found->first <= character ? &*found : nullptr;
}

/// Whether the sigma at `place` ends a word, as Python decides it.
bool is_final_sigma(std::u32string_view text, size_t place) noexcept {
  const auto ignorable = [&](size_t i) { return (properties_of(text[i]) & case_ignorable_character) != 0; };
  const auto cased = [&](size_t i) { return (properties_of(text[i]) & cased_character) != 0; };
  size_t before = place;
  while (before > 0 && ignorable(before - 1)) --before;
  if (before == 0 || !cased(before - 1)) return false;
  size_t after = place + 1;
  while (after < text.size() && ignorable(after)) ++after;
  return after == text.size() || !cased(after);
}

}  // namespace

uint8_t properties_of(char32_t character) noexcept {
  const PropertyRange* range = character_range_of(property_ranges(), character);
  return range == nullptr ? uint8_t{0} : range->properties;
}

bool is_space(char32_t character) noexcept {
  if (character < 0x80) return (character >= 0x09 && character <= 0x0D) || (character >= 0x1C && character <= 0x20);
  return character == 0x85 || character == 0xA0 || character == 0x1680 ||
         (character >= 0x2000 && character <= 0x200A) || character == 0x2028 || character == 0x2029 ||
         character == 0x202F || character == 0x205F || character == 0x3000;
}

std::u32string lower(std::u32string_view text) {
  constexpr char32_t sigma = 0x3A3, small_sigma = 0x3C3, final_sigma = 0x3C2, dotted_i = 0x130, dot_above = 0x307;
  std::u32string lowered;
  lowered.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t character = text[i];
    if (character < 0x80) {
      lowered += character >= 'A' && character <= 'Z' ? character + ('a' - 'A') : character;
    } else if (character == sigma) {
      lowered += is_final_sigma(text, i) ? final_sigma : small_sigma;
    } else if (character == dotted_i) {
      lowered += U'i';
      lowered += dot_above;
    } else {
      const LowerRange* range = character_range_of(lower_ranges(), character);
      const bool moves = range != nullptr && (character - range->first) % range->step == 0;
      lowered += moves ? static_cast<char32_t>(static_cast<int32_t>(character) + range->delta) : character;
    }
  }
  return lowered;
}

std::string lower(std::string_view text) {
  if (!is_ascii(text)) return to_utf8(lower(std::u32string_view(code_points(text))));
  std::string lowered(text);
  for (char& byte : lowered) byte = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + ('a' - 'A')) : byte;
  return lowered;
}

std::vector<std::string_view> split(std::string_view utf8) {
  std::vector<std::string_view> pieces;
  size_t begin = 0;
  for (size_t place = 0; place < utf8.size();) {
    const size_t here = place;
    if (!is_space(take_character(utf8, place))) continue;
    if (here > begin) pieces.push_back(utf8.substr(begin, here - begin));
    begin = place;
  }
  if (utf8.size() > begin) pieces.push_back(utf8.substr(begin));
  return pieces;
}

std::string_view without_trailing_space(std::string_view utf8) noexcept {
  while (!utf8.empty()) {
    size_t last = utf8.size() - 1;
    while (last > 0 && continues_character(utf8[last])) --last;
    size_t place = last;
    if (!is_space(take_character(utf8, place))) break;
    utf8 = utf8.substr(0, last);
  }
  return utf8;
}

std::string_view stripped(std::string_view utf8) noexcept {
  utf8 = without_trailing_space(utf8);
  for (size_t place = 0; place < utf8.size() && is_space(take_character(utf8, place)); place = 0) {
    utf8 = utf8.substr(place);
  }
  return utf8;
}

}  // namespace athanor::metrics::detail
