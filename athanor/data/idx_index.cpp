// SPDX-License-Identifier: Apache-2.0
// The header of an IDX file: two zero bytes, a type, the number of dimensions, and as many big-endian sizes.
#include "athanor/data/idx_index.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/join_numbers.hpp"

namespace athanor {
namespace {

constexpr std::size_t magic_bytes = 4;
constexpr std::size_t size_bytes = 4;
constexpr std::size_t max_dimensions = 64;
constexpr auto cut_short_advice = "download the file again";

std::size_t bytes_of_code(std::uint8_t code) noexcept {
  switch (code) {
    case 0x08:
    case 0x09:
      return 1;
    case 0x0B:
      return 2;
    case 0x0C:
    case 0x0D:
      return 4;
    case 0x0E:
      return 8;
    default:
      return 0;
  }
}

std::string hexadecimal(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::byte each : bytes) {
    const auto value = std::to_integer<unsigned>(each);
    if (!text.empty()) text += ' ';
    text.append({digits[value >> 4U], digits[value & 15U]});
  }
  return text;
}

std::uint32_t big_endian(std::span<const std::byte> bytes) {
  std::uint32_t value = 0;
  for (const std::byte each : bytes) value = value << 8U | std::to_integer<std::uint32_t>(each);
  return value;
}

}  // namespace

std::size_t bytes_of(IdxType type) noexcept { return bytes_of_code(static_cast<std::uint8_t>(type)); }

IdxIndex parse_idx(std::span<const std::byte> file, std::string_view file_name) {
  const std::string where(file_name);
  const auto magic = file.first(std::min(file.size(), magic_bytes));
  const std::size_t element_bytes =
      magic.size() == magic_bytes ? bytes_of_code(std::to_integer<std::uint8_t>(magic[2])) : 0;
  const std::size_t dimensions = magic.size() == magic_bytes ? std::to_integer<std::size_t>(magic[3]) : 0;
  if (element_bytes == 0 || magic[0] != std::byte{0} || magic[1] != std::byte{0} || dimensions == 0 ||
      dimensions > max_dimensions) {
    throw Error({.what = "this is not an IDX file",
                 .where = where,
                 .got = file.empty() ? "an empty file" : "a file that begins with the bytes " + hexadecimal(magic),
                 .expected = "00 00, a type (08, 09, 0b, 0c, 0d or 0e) and the number of dimensions (01 to 40)",
                 .todo = "check that this is the right file"});
  }

  IdxIndex index{.type = static_cast<IdxType>(magic[2]),
                 .shape = {},
                 .data_begin = magic_bytes + dimensions * size_bytes,
                 .elements = 1};
  if (file.size() < index.data_begin) {
    throw Error({.what = "an IDX file ends within its header",
                 .where = where,
                 .got = std::to_string(file.size()) + " bytes",
                 .expected = std::to_string(index.data_begin) + " bytes of header for " + std::to_string(dimensions) +
                             " dimensions",
                 .todo = cut_short_advice});
  }
  // A size of 0 counts as 1 here: strides are computed from the other sizes all the same.
  std::size_t product = element_bytes;
  bool empty = false;
  bool too_large = false;
  for (std::size_t i = 0; i < dimensions; ++i) {
    const std::uint32_t size = big_endian(file.subspan(magic_bytes + i * size_bytes, size_bytes));
    index.shape.push_back(size);
    empty = empty || size == 0;
    too_large = too_large || (size > 1 && __builtin_mul_overflow(product, std::size_t{size}, &product));
  }
  const std::size_t follow = file.size() - index.data_begin;
  const std::size_t needed = empty ? 0 : product;
  if (too_large || product > static_cast<std::size_t>(PTRDIFF_MAX) || follow < needed) {
    throw Error({.what = "an IDX file has fewer elements than its header says",
                 .where = where,
                 .got = std::to_string(follow) + " bytes after the header",
                 .expected = (too_large ? "more bytes than any memory has" : std::to_string(needed) + " bytes") +
                             " for " + join_numbers(index.shape, " x ") + " elements of " +
                             std::to_string(element_bytes) + (element_bytes == 1 ? " byte" : " bytes"),
                 .todo = cut_short_advice});
  }
  if (follow > needed) {
    throw Error({.what = "an IDX file goes on after its last element",
                 .where = where,
                 .got = std::to_string(follow) + " bytes after the header",
                 .expected = std::to_string(needed) + " bytes for " + join_numbers(index.shape, " x ") + " elements",
                 .todo = "check that this is the right file"});
  }
  index.elements = needed / element_bytes;
  return index;
}

}  // namespace athanor
