// SPDX-License-Identifier: Apache-2.0
// The tokenizers of sacreBLEU.
#include "athanor/metrics/bleu_tokenizer.hpp"

#include <algorithm>
#include <utility>

#include "athanor/core/utf8.hpp"
#include "athanor/metrics/unicode.hpp"

namespace athanor::metrics {
namespace {

std::string with_replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string result;
  size_t begin = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, begin)) {
    result.append(text, begin, at - begin).append(by);
    begin = at + what.size();
  }
  return result.append(text, begin);
}

bool is_ascii_digit(char32_t character) noexcept { return character >= '0' && character <= '9'; }
bool is_stop(char32_t character) noexcept { return character == '.' || character == ','; }

/// The punctuation of mteval-v13a without the apostrophe, the comma, the dash and the full stop.
bool is_western_mark(char32_t c) noexcept {
  return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') ||
         (c >= ':' && c <= '@') || c == '/';
}

template <class String, class Is>
String spaced_out(const String& text, Is is) {
  String result;
  result.reserve(text.size() * 2);
  for (const auto character : text) {
    if (is(character)) {
      result += ' ';
      result += character;
      result += ' ';
    } else {
      result += character;
    }
  }
  return result;
}

enum class Spaces { around_first, around_second };

/// Puts spaces into each pair of neighbours for which `left` and `right` hold. Like re.sub, a pair begins behind the
/// end of the one before it.
template <class String, class Left, class Right>
String pairs_parted(const String& text, Left left, Right right, Spaces spaces) {
  String result;
  result.reserve(text.size() * 2);
  size_t i = 0;
  while (i < text.size()) {
    if (i + 1 == text.size() || !left(text[i]) || !right(text[i + 1])) {
      result += text[i++];
      continue;
    }
    if (spaces == Spaces::around_first) result += ' ';
    result += text[i];
    result += ' ';
    result += text[i + 1];
    if (spaces != Spaces::around_first) result += ' ';
    i += 2;
  }
  return result;
}

/// On the bytes of UTF-8: only ASCII is looked for, and no byte of another character is ASCII.
std::string western(const std::string& text) {
  const auto not_digit = [](unsigned char c) { return !is_ascii_digit(c); };
  const auto digit = [](unsigned char c) { return is_ascii_digit(c); };
  const auto stop = [](unsigned char c) { return is_stop(c); };
  std::string line = spaced_out(text, [](unsigned char c) { return is_western_mark(c); });
  line = pairs_parted(line, not_digit, stop, Spaces::around_second);
  line = pairs_parted(line, stop, not_digit, Spaces::around_first);
  return pairs_parted(
      line, digit, [](char c) { return c == '-'; }, Spaces::around_second);
}

std::string mteval_13a(std::string_view text) {
  std::string line = with_replaced(text, "<skipped>", "");
  line = with_replaced(line, "-\n", "");
  std::replace(line.begin(), line.end(), '\n', ' ');
  if (line.find('&') != std::string::npos) {
    for (const auto& [name, character] : {std::pair("&quot;", "\""), {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}}) {
      line = with_replaced(line, name, character);
    }
  }
  return western(" " + line + " ");
}

std::string mteval_14(std::string_view text) {
  const auto has = [](char32_t c, uint8_t property) { return (detail::properties_of(c) & property) != 0; };
  const auto punctuation = [&](char32_t c) { return has(c, detail::punctuation_character); };
  const auto not_number = [&](char32_t c) { return !has(c, detail::number_character); };
  std::u32string line = code_points(text);
  line = pairs_parted(line, not_number, punctuation, Spaces::around_second);
  line = pairs_parted(line, punctuation, not_number, Spaces::around_first);
  return to_utf8(spaced_out(line, [&](char32_t c) { return has(c, detail::symbol_character); }));
}

/// The ranges of sacreBLEU, as its comparison of strings reads them: two of them are written with five digits, which
/// Python takes for four and a digit.
bool is_chinese(char32_t c) noexcept {
  constexpr std::pair<char32_t, char32_t> ranges[] = {
      {0x3400, 0x4DB5}, {0x4E00, 0x9FA5}, {0x9FA6, 0x9FBB}, {0xF900, 0xFA2D}, {0xFA30, 0xFA6A}, {0xFA70, 0xFAD9},
      {0x2001, 0x2A6D}, {0x2F81, 0x2FA1}, {0xFF00, 0xFFEF}, {0x2E80, 0x2EFF}, {0x3000, 0x303F}, {0x31C0, 0x31EF},
      {0x2F00, 0x2FDF}, {0x2FF0, 0x2FFF}, {0x3100, 0x312F}, {0x31A0, 0x31BF}, {0xFE10, 0xFE1F}, {0xFE30, 0xFE4F},
      {0x2600, 0x26FF}, {0x2700, 0x27BF}, {0x3200, 0x32FF}, {0x3300, 0x33FF}};
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [&](const auto& range) { return range.first <= c && c <= range.second; });
}

}  // namespace

std::string bleu_tokenize(std::string_view utf8, BleuTokenizer tokenizer) {
  switch (tokenizer) {
    case BleuTokenizer::v13a:
      return mteval_13a(utf8);
    case BleuTokenizer::international:
      return mteval_14(utf8);
    case BleuTokenizer::character:
      return to_utf8(spaced_out(code_points(utf8), [](char32_t) { return true; }));
    case BleuTokenizer::chinese:
      return western(to_utf8(spaced_out(code_points(detail::stripped(utf8)), is_chinese)));
    case BleuTokenizer::none:
      break;
  }
  return std::string(utf8);
}

const char* bleu_tokenizer_name(BleuTokenizer tokenizer) noexcept {
  switch (tokenizer) {
    case BleuTokenizer::v13a:
      return "13a";
    case BleuTokenizer::international:
      return "intl";
    case BleuTokenizer::character:
      return "char";
    case BleuTokenizer::chinese:
      return "zh";
    case BleuTokenizer::none:
      break;
  }
  return "none";
}

}  // namespace athanor::metrics
