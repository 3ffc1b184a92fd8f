// SPDX-License-Identifier: Apache-2.0
// Limits on batches: whole numbers and fractions, rounding, and what is refused.
#include "athanor/data/limit.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include "tests/core/error_of.hpp"

namespace athanor::limit_test {
namespace {

struct Options {
  std::optional<Limit> train_batches = {};
  Limit test_batches = 1.0;
};

static_assert(std::is_convertible_v<int, Limit> && std::is_convertible_v<float, Limit>);
static_assert(!std::is_convertible_v<bool, Limit> && !std::is_convertible_v<const char*, Limit>);

TEST(LimitTest, ImpossibleLimitsAreRefusedWithTheNameOfTheOption) {
  const auto none = error_of([] { Limit(0).check("FitOptions::train_batches"); });
  EXPECT_EQ(none.what, "an impossible limit on the batches");
  EXPECT_EQ(none.where, "FitOptions::train_batches");
  EXPECT_EQ(none.got, "0 batches");
  EXPECT_EQ(none.expected, "a whole number of batches, 1 or more, or a fraction above 0 and up to 1.0");
  EXPECT_EQ(error_of([] { Limit(-3).check("x"); }).got, "-3 batches");
  EXPECT_EQ(error_of([] { Limit(std::numeric_limits<uint64_t>::max()).check("x"); }).got, "-1 batches");
  EXPECT_EQ(error_of([] { Limit(0.0).check("x"); }).got, "0 of the batches");
  EXPECT_EQ(error_of([] { Limit(-0.5).check("x"); }).got, "-0.5 of the batches");
  EXPECT_EQ(error_of([] { Limit(std::nan("")).check("x"); }).got, "nan of the batches");
  const auto many = error_of([] { Limit(100.0).check("x"); });
  EXPECT_EQ(many.got, "100 of the batches");
  EXPECT_EQ(many.todo, "write a number of batches without a decimal point");
}

TEST(LimitTest, PossibleLimitsPass) {
  for (const Limit& limit : {Limit(1), Limit(1000000), Limit(1.0), Limit(0.5F), Limit(1e-9)}) limit.check("x");
}

TEST(LimitTest, TheKindOfTheNumberSaysWhatIsMeant) {
  const Options options{.train_batches = 100, .test_batches = 0.25};
  EXPECT_EQ(options.train_batches->of(1000), 100);
  EXPECT_EQ(options.test_batches.of(1000), 250);
  EXPECT_EQ(Options{.train_batches = 0.25}.train_batches->of(1000), 250);
  EXPECT_FALSE(Options{}.train_batches.has_value());
  EXPECT_EQ(Limit(1).of(10), 1);
  EXPECT_EQ(Limit(1.0).of(10), 10);
}

TEST(LimitTest, ThereIsAtLeastOneBatchAndNotMoreThanThereAre) {
  EXPECT_EQ(Limit(100).of(7), 7);
  EXPECT_EQ(Limit(0).of(7), 1);
  EXPECT_EQ(Limit(-1).of(7), 1);
  EXPECT_EQ(Limit(0.01).of(7), 1);
  EXPECT_EQ(Limit(2.0).of(7), 7);
  EXPECT_EQ(Limit(1e300).of(7), 7);
  EXPECT_EQ(Limit(3).of(0), 0);
  EXPECT_EQ(Limit(1.0).of(INT64_MAX), INT64_MAX);
  EXPECT_EQ(Limit(INT64_MAX).of(INT64_MAX), INT64_MAX);
}

TEST(LimitTest, FractionsAreRoundedDownButNotForTheLastBit) {
  EXPECT_EQ(Limit(0.5).of(7), 3);
  EXPECT_EQ(Limit(0.999).of(10), 9);
  for (int64_t percent = 1; percent <= 100; ++percent) {
    EXPECT_EQ(Limit(static_cast<double>(percent) / 100).of(100), percent) << percent;
    EXPECT_EQ(Limit(static_cast<double>(percent) / 100).of(100000), percent * 1000) << percent;
  }
}

TEST(LimitTest, DescribesItselfAndCompares) {
  EXPECT_EQ(Limit(1).describe(), "1 batch");
  EXPECT_EQ(Limit(12).describe(), "12 batches");
  EXPECT_EQ(Limit(0.1).describe(), "0.1 of the batches");
  EXPECT_EQ(Limit(1), Limit(int64_t{1}));
  EXPECT_EQ(Limit(0.5), Limit(0.5F));
  EXPECT_NE(Limit(1), Limit(1.0));
  EXPECT_NE(Limit(1), Limit(2));
  EXPECT_NE(Limit(0.1), Limit(0.2));
}

}  // namespace
}  // namespace athanor::limit_test
