// SPDX-License-Identifier: Apache-2.0
// Writes zip archives as torch.save lays them out: nothing compressed, each content at a multiple of 64 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/checkpoint/zip_index.hpp"

namespace athanor {

/// Where each content begins: at a multiple of this many bytes.
inline constexpr std::uint64_t zip_alignment = 64;

/// The header that stands before a content of `bytes` bytes when it begins at byte `offset` of the archive, padded so
/// that the content is aligned. Contents and offsets from 2^32 - 1 on take the 64-bit extension.
[[nodiscard]] std::string zip_header(std::string_view name, std::uint64_t bytes, std::uint64_t offset);

/// Writes an archive front to back, without seeking: checksums follow the contents, the directory comes last. The same
/// contents give the same bytes. Holds no more than names and places.
class ZipWriter {
 public:
  /// `write` appends to the file.
  explicit ZipWriter(std::function<void(std::span<const std::byte>)> write) : write_(std::move(write)) {}

  /// Adds a file. The name is UTF-8, differs from all others and has at most 65,535 bytes.
  void add(std::string_view name, std::span<const std::byte> content);
  void add(std::string_view name, std::string_view content) { add(name, std::as_bytes(std::span(content))); }

  /// Writes the directory. Nothing can be added after it.
  void finish();

 private:
  struct Written {
    ZipEntry entry;
    std::uint64_t header;
  };

  void put(std::span<const std::byte> bytes);
  void put(std::string_view text) { put(std::as_bytes(std::span(text))); }

  std::function<void(std::span<const std::byte>)> write_;
  std::uint64_t position_ = 0;
  std::vector<Written> written_;
};

}  // namespace athanor
