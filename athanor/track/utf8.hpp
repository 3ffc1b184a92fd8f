// SPDX-License-Identifier: Apache-2.0
// Text that others insist on being UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace athanor::track {

/// How many bytes the UTF-8 character at the beginning of `text`, which is not empty, takes; 0 when there is none.
[[nodiscard]] size_t utf8_length(std::string_view text) noexcept;

/// The text, with a question mark in place of every byte that belongs to no character.
[[nodiscard]] std::string valid_utf8(std::string_view text);

}  // namespace athanor::track
