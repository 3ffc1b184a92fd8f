// SPDX-License-Identifier: Apache-2.0
// The encoding in which pickles hide bytes in a text. Internal. No LibTorch.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace athanor {

/// The bytes whose values are the characters of a UTF-8 text, as Python's `text.encode("latin1")`; none when the text
/// is not UTF-8 or has a character beyond U+00FF.
[[nodiscard]] std::optional<std::string> latin1_bytes(std::string_view utf8);

}  // namespace athanor
