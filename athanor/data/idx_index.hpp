// SPDX-License-Identifier: Apache-2.0
// The header of an IDX file (MNIST and its relatives) as a plain structure, checked against the bytes. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace athanor {

/// The element types of the format, with their codes in the file.
enum class IdxType : std::uint8_t {
  uint8 = 0x08,
  int8 = 0x09,
  int16 = 0x0B,
  int32 = 0x0C,
  float32 = 0x0D,
  float64 = 0x0E,
};

/// The size of one element in bytes: 1, 2, 4 or 8.
[[nodiscard]] std::size_t bytes_of(IdxType type) noexcept;

/// What the header of an IDX file says.
struct IdxIndex {
  IdxType type = IdxType::uint8;
  std::vector<std::int64_t> shape = {};  ///< Row-major, 1 to 64 dimensions.
  std::size_t data_begin = 0;            ///< Where the elements start, in bytes from the start; they reach to the end.
  std::size_t elements = 0;              ///< The product of the shape.
};

/// Reads the header of a whole file, already unpacked, and checks that exactly the elements it tells of follow, stored
/// big-endian. `file_name` is for messages only. Throws Error for bytes that are not an IDX file, are cut short or go
/// on after the last element.
[[nodiscard]] IdxIndex parse_idx(std::span<const std::byte> file, std::string_view file_name);

}  // namespace athanor
