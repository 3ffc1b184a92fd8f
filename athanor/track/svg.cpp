// SPDX-License-Identifier: Apache-2.0
// Escaping, measuring and writing elements.
#include "athanor/track/svg.hpp"

#include <charconv>
#include <cmath>

#include "athanor/core/utf8.hpp"
#include "athanor/track/terminal.hpp"

namespace athanor::svg {

std::string number(double value) {
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, std::round(value * 100) / 100, std::chars_format::fixed, 2).ptr;
  std::string text(buffer, end);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

std::string escape(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = first_character(text).length;
    const char c = text.front();
    if (length == 0) {
      result += '?';
    } else if (length > 1) {
      result += text.substr(0, length);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      result += ' ';
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += c;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

double text_width(std::string_view text, double size) { return 0.56 * size * terminal::columns(text); }

std::string shorten(std::string_view text, double size, double width) {
  if (text_width(text, size) <= width) return std::string(text);
  const int columns = static_cast<int>(width / (0.56 * size)) - 1;
  return std::string(terminal::clip(text, columns > 1 ? columns : 1)) + "…";
}

void Writer::start(const char* tag, Attributes attributes) {
  document_.append("<").append(tag);
  for (const Attribute& attribute : attributes) {
    document_.append(" ").append(attribute.name).append("=\"").append(escape(attribute.text)).append("\"");
  }
}

void Writer::open(const char* tag, Attributes attributes) {
  start(tag, attributes);
  document_ += ">\n";
  open_tags_.append(tag).append(" ");
}

void Writer::close() {
  open_tags_.pop_back();
  const size_t begin = open_tags_.find_last_of(' ') + 1;
  document_.append("</").append(open_tags_, begin).append(">\n");
  open_tags_.erase(begin);
}

void Writer::element(const char* tag, Attributes attributes) {
  start(tag, attributes);
  document_ += "/>\n";
}

void Writer::text(const char* tag, Attributes attributes, std::string_view content) {
  start(tag, attributes);
  document_.append(">").append(escape(content)).append("</").append(tag).append(">\n");
}

std::string Writer::finish() {
  while (!open_tags_.empty()) close();
  return std::move(document_);
}

}  // namespace athanor::svg
