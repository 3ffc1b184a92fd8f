// SPDX-License-Identifier: Apache-2.0
// SHA-1, by which git names the content of files. Not for security. No LibTorch.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace athanor {

/// The SHA-1 (FIPS 180-4) of some bytes as 40 hexadecimal digits.
[[nodiscard]] std::string sha1_text(std::span<const std::byte> bytes);

}  // namespace athanor
