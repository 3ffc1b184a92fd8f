// SPDX-License-Identifier: Apache-2.0
// The manifest of a checkpoint folder: its text with a checksum of its own, and the check of each file in it. No
// LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace athanor {

inline constexpr const char* manifest_name = "manifest.json";

/// What a manifest says of one file beside it.
struct ManifestFile {
  std::string name = {};
  std::uint64_t bytes = 0;
  std::string crc32 = {};  ///< Eight hexadecimal digits.
};

/// CRC-32 as eight hexadecimal digits.
[[nodiscard]] std::string crc32_text(std::span<const std::byte> bytes);

/// The text of a manifest from the JSON of an object over several lines: its last member becomes the checksum of all
/// that is before it.
[[nodiscard]] std::string manifest_with_checksum(std::string json);

/// The JSON of the manifest in `folder`, checked against its own checksum. Throws Error when there is none and when it
/// is damaged.
[[nodiscard]] std::string read_checked_manifest(const std::filesystem::path& folder);

/// Throws Error unless the file is in the folder itself and has this size and checksum. Reads all of it.
void verify_manifest_file(const std::filesystem::path& folder, const ManifestFile& expected);

/// Throws the Error of a damaged checkpoint.
[[noreturn]] void refuse_damaged_checkpoint(const std::filesystem::path& path, const std::string& got,
                                            const std::string& expected);

/// Whether a folder has the files of a checkpoint; it may be damaged.
[[nodiscard]] bool is_checkpoint(const std::filesystem::path& path);

}  // namespace athanor
