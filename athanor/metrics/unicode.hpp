// SPDX-License-Identifier: Apache-2.0
// Text as Python's str sees it; shared by the metrics of text, not for use outside. All texts are UTF-8. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/metrics/unicode_tables.hpp"

namespace athanor::metrics::detail {

/// Bits of CharacterProperty.
[[nodiscard]] uint8_t properties_of(char32_t character) noexcept;
/// str.isspace() of one character: what str.split() and str.strip() take for white space.
[[nodiscard]] bool is_space(char32_t character) noexcept;

/// str.lower(), with the final sigma.
[[nodiscard]] std::u32string lower(std::u32string_view text);
[[nodiscard]] std::string lower(std::string_view utf8);

/// str.split(): what lies between runs of white space. The pieces lie in `text`.
[[nodiscard]] std::vector<std::string_view> split(std::string_view utf8);
/// str.rstrip() and str.strip().
[[nodiscard]] std::string_view without_trailing_space(std::string_view utf8) noexcept;
[[nodiscard]] std::string_view stripped(std::string_view utf8) noexcept;

}  // namespace athanor::metrics::detail
