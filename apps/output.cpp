// SPDX-License-Identifier: Apache-2.0
#include "apps/output.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "athanor/core/error.hpp"
#include "athanor/core/utf8.hpp"

namespace athanor::command {
namespace {

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string without_line_ends(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::string printable(std::string_view text, std::size_t longest) {
  constexpr std::string_view digits = "0123456789abcdef";
  const bool cut = text.size() > longest;
  std::size_t end = cut ? longest : text.size();
  while (cut && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  const std::string_view shown = text.substr(0, end);
  const bool valid = is_utf8(shown);
  std::string result;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const auto c = static_cast<unsigned char>(shown[i]);
    const bool second_controls =  // U+0080 to U+009F
        c == 0xC2 && i + 1 < shown.size() && static_cast<unsigned char>(shown[i + 1]) < 0xA0;
    if (c < 0x20 || c == 0x7F || (c >= 0x80 && !valid) || second_controls) {
      result.append("\\x").append(1, digits[c >> 4]).append(1, digits[c & 15]);
      if (second_controls && valid) {
        const auto next = static_cast<unsigned char>(shown[++i]);
        result.append("\\x").append(1, digits[next >> 4]).append(1, digits[next & 15]);
      }
    } else {
      result += shown[i];
    }
  }
  return cut ? result + "…" : result;
}

std::string one_line(const Error& error) {
  const Error::Parts& parts = error.parts();
  std::string text = parts.what;
  if (!parts.where.empty()) text += ": " + parts.where;
  if (!parts.got.empty()) text += "; got " + parts.got;
  if (!parts.expected.empty()) text += "; expected " + parts.expected;
  if (!parts.todo.empty()) text += "; " + parts.todo;
  return without_line_ends(std::move(text));
}

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_error(std::string_view line) {
  std::fflush(stdout);
  std::string whole = "athanor: ";
  whole += printable(line, /*longest=*/4000);
  whole += "\n";
  std::fwrite(whole.data(), 1, whole.size(), stderr);
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array units{"B", "kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000) return std::to_string(bytes) + " B";
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
  return text.data();
}

std::string counted(std::size_t count, std::string_view one) {
  return std::to_string(count) + " " + std::string(one) + (count == 1 ? "" : "s");
}

TextTable::TextTable(std::vector<std::string> titles) {
  for (std::string& title : titles) {
    right_.push_back(title.starts_with('>'));
    if (right_.back()) title.erase(0, 1);
  }
  rows_.push_back(std::move(titles));
}

std::string TextTable::text() const {
  std::vector<std::size_t> widths(right_.size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  std::string all;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string blanks(widths[i] - columns_of(row[i]), ' ');
      line += (i > 0 ? "  " : "") + (right_[i] ? blanks + row[i] : row[i] + blanks);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    all += line + "\n";
  }
  return all;
}

}  // namespace athanor::command
