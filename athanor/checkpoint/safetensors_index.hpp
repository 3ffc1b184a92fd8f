// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file as a plain structure: parsed from bytes, checked, and written. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace athanor {

/// The element types of the format that LibTorch has too, in the order in which their tensors lie in a file, last
/// first.
enum class SafetensorsType : std::uint8_t {
  boolean,
  uint8,
  int8,
  float8_e5m2,
  float8_e4m3,
  int16,
  uint16,
  float16,
  bfloat16,
  int32,
  uint32,
  float32,
  complex64,
  float64,
  int64,
  uint64,
};

/// The name of the type in the header of a file, such as "F32" or "BOOL".
[[nodiscard]] std::string_view name_of(SafetensorsType type) noexcept;

/// The size of one element in bytes: 1, 2, 4 or 8.
[[nodiscard]] std::size_t bytes_of(SafetensorsType type) noexcept;

/// One tensor of a file.
struct TensorEntry {
  std::string name = {};
  SafetensorsType dtype = SafetensorsType::float32;
  std::vector<std::int64_t> shape{};  ///< Row-major; empty for a single number. At most 64 dimensions.
  std::uint64_t begin = 0;            ///< The first byte of its data, counted from the start of the data section.
  std::uint64_t end = 0;              ///< One past its last byte, counted likewise.
};

/// Strings that travel with the tensors. Python shows them as `safe_open(...).metadata()`.
using SafetensorsMetadata = std::map<std::string, std::string>;

/// What the header of a file says.
struct SafetensorsIndex {
  std::vector<TensorEntry> entries{};  ///< In the order of the header.
  SafetensorsMetadata metadata = {};
  std::uint64_t data_begin = 0;  ///< Where the data section starts, in bytes from the start of the file.
};

/// Reads the header of a whole file and checks it against the file: every range lies in the data section, has the
/// length that dtype and shape ask for, and together they cover the section without overlap, hole or rest (the rules of
/// the official reader). `file_name` is for messages only.
///
/// Nothing outside `file` is read whatever the bytes are. Memory stays proportional to the header, which may have at
/// most 100,000,000 bytes. Throws Error, naming file and tensor, for anything that is not such a file.
[[nodiscard]] SafetensorsIndex parse_safetensors(std::span<const std::byte> file, std::string_view file_name);

/// Lays tensors out for writing: sorts them by dtype (widest first, so that all data is aligned) and then by name, as
/// the Python package does, and sets `begin`, `end` and `data_begin`; what these hold before is ignored. Throws Error
/// for a name that occurs twice, is `__metadata__` or no UTF-8, for a negative size, and for sizes beyond 2^63 bytes.
[[nodiscard]] SafetensorsIndex arrange_safetensors(std::vector<TensorEntry> entries, SafetensorsMetadata metadata = {});

/// The bytes that precede the data: the length of the header (8 bytes, little-endian) and the header, padded with
/// spaces to a multiple of 8. `index` comes from `arrange_safetensors`.
[[nodiscard]] std::string safetensors_header(const SafetensorsIndex& index);

}  // namespace athanor
