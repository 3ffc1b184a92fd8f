// SPDX-License-Identifier: Apache-2.0
// UTF-8 by the letter: by counting what is taken, and beside Python's own decoder.
#include "athanor/core/utf8.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

namespace athanor::testing::utf8_test {
namespace {

using namespace std::string_literals;
namespace fs = std::filesystem;

constexpr bool is_surrogate(char32_t code) { return code >= 0xD800 && code <= 0xDFFF; }

TEST(Utf8, EveryCharacterComesBack) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (is_surrogate(code)) continue;
    const std::string text = to_utf8({&code, 1});
    const Utf8Character found = first_character(text);
    ASSERT_EQ(found.code, code);
    ASSERT_EQ(found.length, text.size());
    ASSERT_EQ(text.size(), code < 0x80 ? 1U : code < 0x800 ? 2U : code < 0x10000 ? 3U : 4U);
  }
}

size_t taken(size_t length, const std::vector<std::vector<unsigned char>>& bytes) {
  size_t count = 0;
  std::string text(bytes.size(), '\0');
  const auto fill = [&](const auto& self, size_t place) -> void {
    if (place == bytes.size()) {
      count += first_character(text).length == length;
      return;
    }
    for (const unsigned char byte : bytes[place]) {
      text[place] = static_cast<char>(byte);
      self(self, place + 1);
    }
  };
  fill(fill, 0);
  return count;
}

/// Each character has one encoding, all of which are taken, as the test above says: when as many byte strings are taken
/// as there are characters, no other one is, neither an overlong one nor a surrogate.
TEST(Utf8, NothingElseIsTaken) {
  std::vector<unsigned char> all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<unsigned char>(byte));
  const std::vector<unsigned char> edges = {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};
  EXPECT_EQ(taken(1, {all}), 0x80U);
  EXPECT_EQ(taken(2, {all, all}), 0x800U - 0x80);
  // The last bytes are any of 64, of which the edges hold 2.
  EXPECT_EQ(taken(3, {all, all, edges}), (0x10000U - 0x800 - 0x800) / 64 * 2);
  EXPECT_EQ(taken(4, {all, all, edges, edges}), (0x110000U - 0x10000) / (64 * 64) * 4);
}

TEST(Utf8, BytesThatAreNoCharacterArePassedOneByOne) {
  for (const auto& [text, place] : std::vector<std::pair<std::string, size_t>>{{"\x80", 0},
                                                                               {"a\xE2\x88", 1},
                                                                               {"\xC3", 0},
                                                                               {"\xC3\x28", 0},
                                                                               {"\xC0\xAF", 0},
                                                                               {"\xE0\x80\x80", 0},
                                                                               {"é\xED\xA0\x80", 2},
                                                                               {"\xF0\x80\x80\x80", 0},
                                                                               {"\xF4\x90\x80\x80", 0},
                                                                               {"\xF5\x80\x80\x80", 0},
                                                                               {"∀🜂\xFF", 7}}) {
    EXPECT_EQ(invalid_utf8(text), place) << text;
    EXPECT_FALSE(is_utf8(text));
  }
  for (const std::string& text : {""s, "plain"s, "\0"s, "é∀🜂"s, "\xEF\xBF\xBF"s, "\xF4\x8F\xBF\xBF"s}) {
    EXPECT_TRUE(is_utf8(text));
  }
  EXPECT_EQ(code_points("a\xE2\x88é"), U"a\xFFFD\xFFFDé");
  EXPECT_EQ(valid_utf8("a\xE2\x88é"), "a??é");
  EXPECT_EQ(count_characters("aé∀🜂"), 4U);
  EXPECT_EQ(count_characters(""), 0U);
  const std::u32string no_characters = {0xD800, U'a', 0x110000};
  EXPECT_EQ(to_utf8(no_characters), "\xEF\xBF\xBD"s + "a\xEF\xBF\xBD");
}

TEST(Utf8, WhatIsNoCharacterBecomesAQuestionMark) {
  EXPECT_EQ(valid_utf8("größe 精度 \U0001F600"), "größe 精度 \U0001F600");
  EXPECT_EQ(valid_utf8("a\xff\xc3"), "a??");
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "???");
  EXPECT_EQ(valid_utf8("\xc0\xaf\xe0\x80\xaf\xf4\x90\x80\x80"), "?????????");
}

std::string random_text(std::mt19937& random) {
  const std::vector<std::string> pieces = {
      "a",        "\0"s,      "é",    "∀",        "🜂",    "\xED\x9F\xBF", "\xEE\x80\x80", "\xC2", "\xE1",
      "\xF1\x80", "\xED\xA0", "\xC0", "\xF4\x90", "\x80", "\xE0\x9F",     "\xF0\x8F",     "\xFE"};
  std::string text;
  for (size_t i = random() % 12; i > 0; --i) text += pieces[random() % pieces.size()];
  for (size_t i = random() % 3; i > 0; --i) text += static_cast<char>(random() % 256);
  return text;
}

/// Python writes the place of the first error, or the length of the text in characters and their sum, which hangs on
/// each of them.
TEST(Utf8, EqualsPythonsDecoder) {
  constexpr const char* script =
      "import sys\n"
      "for line in open(sys.argv[1]):\n"
      "    data = bytes.fromhex(line)\n"
      "    try:\n"
      "        text = data.decode('utf-8')\n"
      "        print('text', len(text), sum((i + 1) * ord(c) for i, c in enumerate(text)))\n"
      "    except UnicodeDecodeError as error:\n"
      "        print('error', error.start, 0)\n";
  std::string folder = (fs::temp_directory_path() / "athanor-utf8-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  std::mt19937 random(7);
  std::vector<std::string> texts;
  {
    std::ofstream file(folder + "/hex.txt");
    for (int i = 0; i < 20000; ++i) {
      texts.push_back(random_text(random));
      for (const char byte : texts.back()) {
        constexpr std::string_view digits = "0123456789abcdef";
        const auto value = static_cast<unsigned char>(byte);
        file << digits[value / 16] << digits[value % 16];
      }
      file << "\n";
    }
  }
  const std::string command = std::string(ATHANOR_TEST_PYTHON) + " -c \"" + script + "\" '" + folder + "/hex.txt' > '" +
                              folder + "/decoded.txt'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ifstream decoded(folder + "/decoded.txt");
  size_t good = 0;
  for (const std::string& text : texts) {
    std::string kind;
    uint64_t place = 0, sum = 0;
    ASSERT_TRUE(decoded >> kind >> place >> sum);
    const std::optional<size_t> invalid = invalid_utf8(text);
    ASSERT_EQ(invalid.has_value(), kind == "error");
    if (invalid) {
      ASSERT_EQ(*invalid, place);
      continue;
    }
    const std::u32string characters = code_points(text);
    ASSERT_EQ(characters.size(), place);
    ASSERT_EQ(count_characters(text), place);
    for (size_t i = 0; i < characters.size(); ++i) sum -= (i + 1) * characters[i];
    ASSERT_EQ(sum, 0U);
    ASSERT_EQ(to_utf8(characters), text);
    ++good;
  }
  EXPECT_GT(good, 1000U);
  EXPECT_LT(good, 19000U);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace athanor::testing::utf8_test
