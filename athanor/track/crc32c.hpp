// SPDX-License-Identifier: Apache-2.0
// The checksum of event files: CRC-32 with the polynomial of Castagnoli (RFC 3720, B.4).
#pragma once

#include <cstdint>
#include <string_view>

namespace athanor::track {

[[nodiscard]] uint32_t crc32c(std::string_view bytes) noexcept;

/// As TFRecord stores it: rotated and shifted, so that a checksum over data that holds checksums stays one.
[[nodiscard]] constexpr uint32_t masked(uint32_t crc) noexcept { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U; }

}  // namespace athanor::track
