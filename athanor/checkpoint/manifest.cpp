// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/manifest.hpp"

#include <zlib.h>

#include <charconv>
#include <string_view>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"

namespace athanor {
namespace {

constexpr std::string_view checksum_key = ",\n  \"manifest_crc32\": \"";

std::string checksum_line(std::string_view before) {
  return std::string(checksum_key) + crc32_text(std::as_bytes(std::span(before))) + "\"\n}\n";
}

}  // namespace

void refuse_damaged_checkpoint(const std::filesystem::path& path, const std::string& got, const std::string& expected) {
  throw Error({.what = "a checkpoint is damaged; nothing was loaded",
               .where = path.string(),
               .got = got,
               .expected = expected,
               .todo = "go on from the checkpoint before it, or copy this one again from where it came"});
}

std::string crc32_text(std::span<const std::byte> bytes) {
  const auto* begin = reinterpret_cast<const Bytef*>(bytes.data());
  const auto sum = static_cast<std::uint32_t>(::crc32_z(::crc32_z(0, nullptr, 0), begin, bytes.size()));
  char digits[8];
  const auto end = std::to_chars(digits, digits + sizeof digits, sum, 16).ptr;
  return std::string(static_cast<std::size_t>(digits + 8 - end), '0') + std::string(digits, end);
}

std::string manifest_with_checksum(std::string json) {
  json.erase(json.rfind("\n}"));
  return json + checksum_line(json);
}

std::string read_checked_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / manifest_name;
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const std::size_t end = text.rfind(checksum_key);
  if (end == std::string_view::npos) {
    refuse_damaged_checkpoint(path, std::to_string(text.size()) + " bytes without a checksum",
                              "a manifest that ends in its checksum");
  }
  if (text.substr(end) != checksum_line(text.substr(0, end))) {
    refuse_damaged_checkpoint(path, "content that does not fit its checksum", "the checksum that was written with it");
  }
  return std::string(text);
}

void verify_manifest_file(const std::filesystem::path& folder, const ManifestFile& expected) {
  if (expected.name.find('/') != std::string::npos) {
    refuse_damaged_checkpoint(folder / manifest_name, expected.name, "names of files in this folder");
  }
  const std::filesystem::path path = folder / expected.name;
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) {
    refuse_damaged_checkpoint(path, "no such file", "a file of the checkpoint");
  }
  const MappedFile file(path);
  file.advise_sequential();
  if (file.bytes().size() != expected.bytes) {
    refuse_damaged_checkpoint(path, std::to_string(file.bytes().size()) + " bytes",
                              std::to_string(expected.bytes) + " bytes");
  }
  const std::string sum = crc32_text(file.bytes());
  if (sum != expected.crc32) refuse_damaged_checkpoint(path, "CRC-32 " + sum, expected.crc32);
}

bool is_checkpoint(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path / manifest_name, ignored);
}

}  // namespace athanor
