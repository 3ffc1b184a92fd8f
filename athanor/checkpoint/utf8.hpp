// SPDX-License-Identifier: Apache-2.0
// The two encodings of text that pickles use. Internal. No LibTorch.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace athanor {

/// Whether the bytes are UTF-8 by the letter: no overlong forms, no surrogates, nothing beyond U+10FFFF.
[[nodiscard]] bool is_utf8(std::string_view bytes) noexcept;

/// The bytes whose values are the characters of a UTF-8 text, as Python's `text.encode("latin1")`; none when the text
/// is not UTF-8 or has a character beyond U+00FF.
[[nodiscard]] std::optional<std::string> latin1_bytes(std::string_view utf8);

}  // namespace athanor
