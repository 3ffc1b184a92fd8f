// SPDX-License-Identifier: Apache-2.0
// Writing SVG by hand: elements with escaped text and numbers that no locale changes.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace athanor::svg {

/// A length with at most two decimals, no trailing zeros and a decimal point in every locale.
[[nodiscard]] std::string number(double value);

/// Text for an element or an attribute: `&`, `<`, `>` and quotes escaped; what XML does not allow (control characters,
/// bytes that are not UTF-8) becomes a blank or a question mark.
[[nodiscard]] std::string escape(std::string_view text);

/// About how many pixels wide the text is in a font of that size, generously.
[[nodiscard]] double text_width(std::string_view text, double size);

/// The text, shortened with `…` to about that many pixels.
[[nodiscard]] std::string shorten(std::string_view text, double size, double width);

/// The value of an attribute: a number or a text. Both are escaped when written.
struct Attribute {
  Attribute(const char* attribute_name, double value) : name(attribute_name), text(number(value)) {}
  Attribute(const char* attribute_name, std::string value) : name(attribute_name), text(std::move(value)) {}
  const char* name;
  std::string text;
};
using Attributes = std::initializer_list<Attribute>;

/// A document that grows element by element.
class Writer {
 public:
  void open(const char* tag, Attributes attributes = {});
  void close();
  void element(const char* tag, Attributes attributes);
  void text(const char* tag, Attributes attributes, std::string_view content);
  /// All of it, with every open element closed.
  [[nodiscard]] std::string finish();

 private:
  void start(const char* tag, Attributes attributes);

  std::string document_;
  std::string open_tags_;  // each ended by a blank
};

}  // namespace athanor::svg
