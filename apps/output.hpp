// SPDX-License-Identifier: Apache-2.0
// Text for a terminal, made of what files hold.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace athanor {
class Error;
}

namespace athanor::command {

/// The text with everything that could steer a terminal as `\x1b`, cut after `longest` bytes.
[[nodiscard]] std::string printable(std::string_view text, std::size_t longest = 200);

/// The parts of an error in one line.
[[nodiscard]] std::string one_line(const Error& error);

/// To standard output.
void print(std::string_view text);
/// A line on standard error, with the name of the program before it.
void print_error(std::string_view line);

/// `1.5 GB`, with powers of ten.
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);
/// `1 tensor`, `2 tensors`.
[[nodiscard]] std::string counted(std::size_t count, std::string_view one);

/// Columns as wide as their widest cell.
class TextTable {
 public:
  /// A column is left-aligned unless its title begins with `>`, which is taken off.
  explicit TextTable(std::vector<std::string> titles);
  /// As many cells as titles; printable text.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] std::string text() const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace athanor::command
