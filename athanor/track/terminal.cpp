// SPDX-License-Identifier: Apache-2.0
// Asking the terminal and its environment; measuring text.
#include "athanor/track/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "athanor/core/utf8.hpp"

namespace athanor::terminal {
namespace {

int descriptor_of(const std::ostream& stream) {
  if (stream.rdbuf() == std::cout.rdbuf()) return STDOUT_FILENO;
  if (stream.rdbuf() == std::cerr.rdbuf() || stream.rdbuf() == std::clog.rdbuf()) return STDERR_FILENO;
  return -1;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int columns_of(uint32_t point) {
  using Range = std::pair<uint32_t, uint32_t>;
  constexpr std::array<Range, 5> without_width{
      {{0x0300, 0x036F}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}}};
  constexpr std::array<Range, 9> wide{{{0x1100, 0x115F},
                                       {0x2E80, 0xA4CF},
                                       {0xAC00, 0xD7A3},
                                       {0xF900, 0xFAFF},
                                       {0xFE30, 0xFE6F},
                                       {0xFF00, 0xFF60},
                                       {0xFFE0, 0xFFE6},
                                       {0x1F300, 0x1FAFF},
                                       {0x20000, 0x3FFFD}}};
  const auto holds = [point](const Range& range) { return point >= range.first && point <= range.second; };
  if (std::any_of(without_width.begin(), without_width.end(), holds)) return 0;
  return std::any_of(wide.begin(), wide.end(), holds) ? 2 : 1;
}

}  // namespace

bool is_terminal(const std::ostream& stream) {
  const int descriptor = descriptor_of(stream);
  return descriptor >= 0 && isatty(descriptor) == 1 && environment("TERM") != "dumb";
}

int width(const std::ostream& stream) {
  winsize size{};
  const int descriptor = descriptor_of(stream);
  if (descriptor >= 0 && ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const int columns = std::atoi(environment("COLUMNS").c_str());
  return columns > 0 ? columns : 80;
}

int height(const std::ostream& stream) {
  winsize size{};
  const int descriptor = descriptor_of(stream);
  return descriptor >= 0 && ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}

bool is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string locale = environment(name);
    if (locale.empty()) continue;
    std::transform(locale.begin(), locale.end(), locale.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return false;
}

bool refuses_colour() { return !environment("NO_COLOR").empty(); }

int columns(std::string_view text) {
  int count = 0;
  while (!text.empty()) {
    const auto [code, length] = first_character(text);
    count += columns_of(code);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return count;
}

std::string_view clip(std::string_view text, int columns) {
  size_t end = 0;
  int count = 0;
  while (end < text.size()) {
    const auto [code, length] = first_character(text.substr(end));
    count += columns_of(code);
    if (count > columns) break;
    end += std::max<size_t>(length, 1);
  }
  return text.substr(0, end);
}

std::string printable(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = ' ';
  }
  return result;
}

}  // namespace athanor::terminal
