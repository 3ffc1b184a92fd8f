// SPDX-License-Identifier: Apache-2.0
// Sums of squares and the search for what is not finite: every count, every place, numbers that float32 can't square.
#include "athanor/optim/sum_of_squares.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace athanor::sum_of_squares_test {
namespace {

template <class T>
struct Variant {
  std::string name;
  double (*sum)(const T*, int64_t) noexcept;
  bool (*finite)(const T*, int64_t) noexcept;
};

template <class T>
std::vector<Variant<T>> variants() {
  return {{"chosen", &sum_of_squares, &all_finite}, {"portable", &sum_of_squares_portable, &all_finite_portable}};
}

template <class T>
int64_t count(const std::vector<T>& values) {
  return static_cast<int64_t>(values.size());
}

template <class T>
long double exact(const std::vector<T>& values) {
  long double sum = 0;
  for (const T value : values) sum += static_cast<long double>(value) * static_cast<long double>(value);
  return sum;
}

template <class T>
std::vector<T> normal(size_t count, T size = 1) {
  std::mt19937 random(7);
  std::normal_distribution<T> distribution;
  std::vector<T> values(count);
  for (T& value : values) value = size * distribution(random);
  return values;
}

template <class T>
class SumOfSquaresTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(SumOfSquaresTest, Types);

TYPED_TEST(SumOfSquaresTest, EveryCount) {
  const std::vector<TypeParam> values = normal<TypeParam>(2200);
  for (const auto& each : variants<TypeParam>()) {
    for (size_t size = 0; size <= values.size(); ++size) {
      const std::vector<TypeParam> some(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(size));
      const auto expected = static_cast<double>(exact(some));
      // Runs of 16 squares in float32: 16 roundings of 2^-24 each at most.
      ASSERT_NEAR(each.sum(some.data(), count(some)), expected, expected * 16 / (1 << 24)) << each.name << size;
      ASSERT_TRUE(each.finite(some.data(), count(some)));
    }
  }
}

TYPED_TEST(SumOfSquaresTest, TheErrorDoesNotGrowWithTheCount) {
  const std::vector<TypeParam> values = normal<TypeParam>(3'000'000);
  const auto expected = static_cast<double>(exact(values));
  for (const auto& each : variants<TypeParam>())
    EXPECT_NEAR(each.sum(values.data(), count(values)), expected, expected * 1e-8) << each.name;
  // Numbers of one size, whose roundings all have the same direction: half a unit in the last place for each of 16.
  const std::vector<TypeParam> equal(3'000'000, static_cast<TypeParam>(1.1));
  const auto sum = static_cast<double>(exact(equal));
  for (const auto& each : variants<TypeParam>())
    EXPECT_NEAR(each.sum(equal.data(), count(equal)), sum, sum * 16 / (1 << 24)) << each.name;
}

TYPED_TEST(SumOfSquaresTest, WhatIsNotFiniteIsFoundInEveryPlace) {
  std::vector<TypeParam> values = normal<TypeParam>(1200);
  for (const auto& each : variants<TypeParam>()) {
    for (const TypeParam wrong :
         {std::numeric_limits<TypeParam>::quiet_NaN(), -std::numeric_limits<TypeParam>::quiet_NaN(),
          std::numeric_limits<TypeParam>::infinity(), -std::numeric_limits<TypeParam>::infinity()}) {
      for (TypeParam& value : values) {
        const TypeParam before = value;
        value = wrong;
        ASSERT_FALSE(each.finite(values.data(), count(values))) << each.name << wrong << &value - values.data();
        ASSERT_FALSE(std::isfinite(each.sum(values.data(), count(values)))) << each.name << wrong;
        value = before;
      }
    }
  }
}

TYPED_TEST(SumOfSquaresTest, TheLargestAndSmallestNumbersAreFinite) {
  std::vector<TypeParam> values(1200, std::numeric_limits<TypeParam>::max());
  values[5] = std::numeric_limits<TypeParam>::denorm_min();
  values[6] = -std::numeric_limits<TypeParam>::max();
  for (const auto& each : variants<TypeParam>()) EXPECT_TRUE(each.finite(values.data(), count(values)));
}

TEST(SumOfSquaresOfFloatTest, SquaresThatAreNoFloatAreSummedAllTheSame) {
  for (const float size : {1e-30F, 1e-22F, 1e-19F, 1e-12F, 1e15F, 1e19F, 1e30F}) {
    const std::vector<float> values = normal<float>(70000, size);
    const auto expected = static_cast<double>(exact(values));
    for (const auto& each : variants<float>())
      EXPECT_NEAR(each.sum(values.data(), count(values)) / expected, 1, 1e-7) << each.name << size;
  }
  const std::vector<float> zeros(70000);
  for (const auto& each : variants<float>()) EXPECT_EQ(each.sum(zeros.data(), count(zeros)), 0);
}

TEST(SumOfSquaresOfFloatTest, ASumDoesNotDependOnTheAddress) {
  const std::vector<float> values = normal<float>(5000);
  for (const auto& each : variants<float>()) {
    const double expected = each.sum(values.data(), count(values));
    for (size_t shift = 1; shift < 9; ++shift) {
      std::vector<float> moved(shift, 9.0F);
      moved.insert(moved.end(), values.begin(), values.end());
      EXPECT_EQ(each.sum(moved.data() + shift, count(values)), expected);
    }
  }
}

}  // namespace
}  // namespace athanor::sum_of_squares_test
