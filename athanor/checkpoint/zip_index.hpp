// SPDX-License-Identifier: Apache-2.0
// What lies where in a zip archive, the outer form of .pt files. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace athanor {

/// One file of an archive.
struct ZipEntry {
  std::string name = {};    ///< UTF-8, with `/` between its parts; none of them is empty, `.` or `..`.
  std::uint64_t begin = 0;  ///< The first byte of its content, counted from the start of the archive.
  std::uint64_t bytes = 0;  ///< The length of its content, as it lies in the archive.
  std::uint32_t crc32 = 0;  ///< As the archive tells it; not compared with the content here.
  bool is_compressed = false;
};

/// What the directory of an archive says, folders left out.
struct ZipIndex {
  std::vector<ZipEntry> entries = {};  ///< In the order of the directory.

  /// The entry of that name, or null.
  [[nodiscard]] const ZipEntry* find(std::string_view name) const noexcept;
};

/// Whether the bytes begin like an archive.
[[nodiscard]] bool looks_like_zip(std::span<const std::byte> file) noexcept;

/// Reads the directory of a whole archive, with or without the 64-bit extension, and checks it against the archive:
/// every content lies before the directory, no two overlap, the directory and the header before each content tell the
/// same name, nothing is encrypted, no name occurs twice or leads out of the archive. `file_name` is for messages only.
///
/// Nothing outside `file` is read whatever the bytes are. Memory and time stay proportional to the directory; nothing
/// is unpacked. Throws Error, naming file and entry, for anything else.
[[nodiscard]] ZipIndex parse_zip(std::span<const std::byte> file, std::string_view file_name);

/// The checksum of archives over some bytes, continued from that of the bytes before them.
[[nodiscard]] std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

}  // namespace athanor
