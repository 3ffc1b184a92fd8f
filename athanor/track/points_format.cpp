// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/points_format.hpp"

#include <bit>
#include <cstring>

#include "athanor/track/crc32c.hpp"

namespace athanor::track {
namespace {

static_assert(std::endian::native == std::endian::little, "points.bin is written as memory holds it");

void append_u32(std::string& bytes, uint32_t value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  bytes.append(raw, sizeof value);
}

}  // namespace

std::string points_record(PointsKind kind, std::string_view content) {
  std::string bytes;
  bytes.reserve(content.size() + 9);
  append_u32(bytes, static_cast<uint32_t>(content.size()));
  bytes += static_cast<char>(kind);
  bytes += content;
  append_u32(bytes, crc32c(std::string_view(bytes).substr(4)));
  return bytes;
}

PointsScan scan_points(std::string_view bytes, const std::function<void(PointsKind, std::string_view, size_t)>& take) {
  PointsScan scan;
  while (bytes.size() - scan.bytes >= 9) {
    const std::string_view rest = bytes.substr(scan.bytes);
    uint32_t length = 0;
    std::memcpy(&length, rest.data(), sizeof length);
    if (length > largest_points_content) {
      scan.damaged = true;
      break;
    }
    if (rest.size() < length + 9) break;
    uint32_t checksum = 0;
    std::memcpy(&checksum, rest.data() + 5 + length, sizeof checksum);
    if (checksum != crc32c(rest.substr(4, length + 1))) {
      scan.damaged = true;
      break;
    }
    take(static_cast<PointsKind>(rest[4]), rest.substr(5, length), scan.bytes + 5);
    scan.bytes += length + 9;
  }
  return scan;
}

}  // namespace athanor::track
