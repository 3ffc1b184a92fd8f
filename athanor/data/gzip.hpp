// SPDX-License-Identifier: Apache-2.0
// Whole files into memory, unpacked when they are gzipped. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

namespace athanor {

/// Bytes with their owner; not initialised before they are filled.
struct OwnedBytes {
  std::unique_ptr<std::byte[]> data;
  std::size_t size = 0;

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept;
};

struct UnpackOptions {
  /// The most bytes that the unpacked content may have; beyond that an Error, so that a small file can't fill the
  /// memory.
  std::uint64_t max_bytes = std::uint64_t{4} << 30;
};

/// Whether the bytes begin as a gzip file does.
[[nodiscard]] bool is_gzip(std::span<const std::byte> bytes) noexcept;

/// Unpacks a whole gzip file, of one member or several; lengths and check sums are verified. `file_name` is for
/// messages only. Throws Error for bytes that are not gzip, are cut short or damaged, and for content beyond
/// `max_bytes`.
[[nodiscard]] OwnedBytes unpack_gzip(std::span<const std::byte> bytes, std::string_view file_name,
                                     const UnpackOptions& options = {});

/// Reads a whole file, unpacked when its first bytes, not its name, say that it is gzipped. Throws what `MappedFile`
/// and `unpack_gzip` throw.
[[nodiscard]] OwnedBytes read_file_unpacked(const std::filesystem::path& path, const UnpackOptions& options = {});

}  // namespace athanor
