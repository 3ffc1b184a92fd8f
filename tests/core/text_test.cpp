// SPDX-License-Identifier: Apache-2.0
// Numbers, times, lists and near words as they stand in messages.
#include "athanor/core/text.hpp"

#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace athanor::text_test {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

TEST(TextTest, NumbersThatAreNoneAreNamed) {
  EXPECT_EQ(format_number(std::nan("")), "nan");
  EXPECT_EQ(format_number(-std::nan("")), "nan");
  EXPECT_EQ(format_number(infinite), "inf");
  EXPECT_EQ(format_number(-infinite), "-inf");
}

TEST(TextTest, NumbersAreWrittenAsAPersonWritesThem) {
  EXPECT_EQ(format_number(0), "0");
  EXPECT_EQ(format_number(-0.0), "0");
  EXPECT_EQ(format_number(-3), "-3");
  EXPECT_EQ(format_number(999999), "999999");
  EXPECT_EQ(format_number(1e6), "1.000e+06");
  EXPECT_EQ(format_number(0.5), "0.5000");
  EXPECT_EQ(format_number(-12.34567), "-12.3457");
  EXPECT_EQ(format_number(0.001), "0.0010");
  EXPECT_EQ(format_number(0.0009876), "9.876e-04");
  EXPECT_EQ(format_number(-1234567.5), "-1.235e+06");
}

TEST(TextTest, DecimalsAreThoseAskedForAndNeverOverflow) {
  EXPECT_EQ(format_number(0.123456, 2), "0.12");
  EXPECT_EQ(format_number(0.123456, 0), "0");
  EXPECT_EQ(format_number(1e-5, 2), "1.0e-05");
  EXPECT_EQ(format_number(0.5, -3), "0");
  EXPECT_EQ(format_number(0.5, 1000), "0.5" + std::string(39, '0'));
  EXPECT_EQ(format_number(std::numeric_limits<double>::max(), 1000).size(), 1 + 1 + 39 + 5U);
}

TEST(TextTest, TheShortestFormIsReadBackAsTheSameNumber) {
  EXPECT_EQ(shortest(0.001), "0.001");
  EXPECT_EQ(shortest(3), "3");
  EXPECT_EQ(shortest(-0.25), "-0.25");
  for (double value : {0.1, 1.0 / 3, 1e-5, 5e-324, 1.7976931348623157e308})
    EXPECT_EQ(std::strtod(shortest(value).c_str(), nullptr), value);
}

/// A locale with a decimal comma for this process, built when the system has none.
class DecimalComma {
 public:
  DecimalComma() : before_(std::setlocale(LC_ALL, nullptr)) {
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8"}) {
      if (std::setlocale(LC_ALL, name) != nullptr) return;
    }
    std::string folder = (std::filesystem::temp_directory_path() / "athanor-locale-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) return;
    folder_ = folder;
    std::ofstream(folder_ / "source") << "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\ngrouping 3;3\n"
                                         "END LC_NUMERIC\n";
    const std::string command = "localedef --no-archive -c -i '" + (folder_ / "source").string() +
                                "' -f ANSI_X3.4-1968 '" + (folder_ / "comma").string() + "' >/dev/null 2>&1";
    static_cast<void>(std::system(command.c_str()));  // complains about the categories that are left out
    ::setenv("LOCPATH", folder_.c_str(), 1);
    std::setlocale(LC_NUMERIC, "comma");
  }
  ~DecimalComma() {
    std::setlocale(LC_ALL, before_.c_str());
    if (folder_.empty()) return;
    ::unsetenv("LOCPATH");
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] static bool in_effect() { return std::string(std::localeconv()->decimal_point) == ","; }

 private:
  std::string before_;
  std::filesystem::path folder_;
};

TEST(TextTest, TheLocaleOfTheHostProgramDoesNotChangeNumbers) {
  const DecimalComma comma;
  // Where no such locale can be had, the numbers are still checked in the one that is there.
  RecordProperty("decimal_comma", DecimalComma::in_effect() ? "yes" : "no");
  EXPECT_EQ(format_number(1234.5), "1234.5000");
  EXPECT_EQ(format_number(1.5e-7), "1.500e-07");
}

TEST(TextTest, TimesThatAreNotKnownAndNegativeOnes) {
  EXPECT_EQ(format_seconds(std::nan("")), "-:--");
  EXPECT_EQ(format_seconds(infinite), "-:--");
  EXPECT_EQ(format_seconds(-infinite), "-:--");
  EXPECT_EQ(format_seconds(-5), "0:00");
  EXPECT_EQ(format_seconds(1e300), "277777777777:46:40");
}

TEST(TextTest, TimesAreRoundedToSeconds) {
  EXPECT_EQ(format_seconds(0.4), "0:00");
  EXPECT_EQ(format_seconds(41.6), "0:42");
  EXPECT_EQ(format_seconds(59.5), "1:00");
  EXPECT_EQ(format_seconds(725), "12:05");
  EXPECT_EQ(format_seconds(3599.9), "1:00:00");
  EXPECT_EQ(format_seconds(11232), "3:07:12");
}

TEST(TextTest, JoiningPutsTheSeparatorBetween) {
  EXPECT_EQ(join({}, ", "), "");
  EXPECT_EQ(join(std::vector<std::string>{"a"}, ", "), "a");
  EXPECT_EQ(join(std::vector<std::string>{"a", "", "c"}, ", "), "a, , c");
}

TEST(TextTest, TheNearestWordIsFoundOnlyWhenItIsNear) {
  const std::vector<std::string> names{"train_loss", "val_loss", "val_acc"};
  EXPECT_EQ(nearest("val_los", names), "val_loss");
  EXPECT_EQ(nearest("vall_acc", names), "val_acc");
  EXPECT_EQ(nearest("val_acc", names), "val_acc");
  EXPECT_EQ(nearest("learning_rate", names), "");
  EXPECT_EQ(nearest("x", {}), "");
  EXPECT_EQ(nearest("", names), "");
  EXPECT_EQ(nearest("abd", std::vector<std::string>{"abc", "abd"}), "abd");
}

TEST(TextTest, APatternFitsTheWholeName) {
  EXPECT_TRUE(matches("layer.weight", "layer.weight"));
  EXPECT_FALSE(matches("layer.weight", "layer.weights"));
  EXPECT_FALSE(matches("layer.weights", "layer.weight"));
  EXPECT_FALSE(matches("layer", "layer.weight"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_FALSE(matches("layer.weight", "layer-weight"));  // a dot is a dot
}

TEST(TextTest, AStarIsAnyRunAndAQuestionMarkOneCharacter) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("*", "encoder.0.weight"));
  EXPECT_TRUE(matches("*.weight", "encoder.0.weight"));
  EXPECT_TRUE(matches("encoder.*", "encoder."));
  EXPECT_TRUE(matches("encoder.*.bias", "encoder.0.norm.bias"));
  EXPECT_FALSE(matches("encoder.*.bias", "encoder.bias"));
  EXPECT_TRUE(matches("*a*b*", "xxaxxbxx"));
  EXPECT_FALSE(matches("*a*b*", "bbba"));
  EXPECT_TRUE(matches("a**b", "ab"));
  EXPECT_TRUE(matches("*aab", "aaaab"));  // the first try of the star is too early
  EXPECT_TRUE(matches("block.?.weight", "block.3.weight"));
  EXPECT_FALSE(matches("block.?.weight", "block.13.weight"));
  EXPECT_FALSE(matches("?", ""));
  EXPECT_TRUE(matches("?*", "a"));
}

TEST(TextTest, APatternOfManyStarsTakesNoLongTime) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "a*";
  EXPECT_FALSE(matches(pattern + "b", std::string(2000, 'a')));  // by trying all ways: longer than the universe
}

}  // namespace
}  // namespace athanor::text_test
