// SPDX-License-Identifier: Apache-2.0
// What the screens need to know of the terminal, and text measured in columns rather than bytes.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

namespace athanor::terminal {

/// Whether the stream is the standard output or error of the process, that is a terminal, and one that understands
/// control sequences (`TERM` is not `dumb`). False for every other stream.
[[nodiscard]] bool is_terminal(const std::ostream& stream);

/// Columns of the terminal behind the stream at this moment; `COLUMNS`, then 80, where it can't be asked.
[[nodiscard]] int width(const std::ostream& stream);

/// Lines of the terminal behind the stream at this moment; 0 where it can't be asked.
[[nodiscard]] int height(const std::ostream& stream);

/// Whether the locale in the environment (`LC_ALL`, `LC_CTYPE`, `LANG`) is one of UTF-8.
[[nodiscard]] bool is_utf8();

/// Whether the user asked for no colours: `NO_COLOR` is there and not empty (https://no-color.org).
[[nodiscard]] bool refuses_colour();

/// The columns that UTF-8 text takes: wide characters (CJK, emoji) count 2, combining marks 0.
[[nodiscard]] int columns(std::string_view text);

/// The longest beginning of the text that fits into so many columns; never half a character.
[[nodiscard]] std::string_view clip(std::string_view text, int columns);

/// The text with every control character replaced by a blank, so that it can neither move the cursor nor end the line.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace athanor::terminal
