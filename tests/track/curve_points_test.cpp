// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/curve_points.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace athanor::testing::curve_points_test {
namespace {

using track::curve_points;
using track::CurvePoints;
using track::CurveView;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

CurveView view_of(const std::vector<double>& x, const std::vector<double>& y) {
  return {.size = x.size(), .x = [&x](size_t i) { return x[i]; }, .y = [&y](size_t i) { return y[i]; }};
}

struct Noise {
  std::vector<double> x, y;
  explicit Noise(size_t size) : x(size), y(size) {
    std::mt19937_64 generator(7);
    std::normal_distribution<double> normal;
    for (size_t i = 0; i < size; ++i) {
      x[i] = static_cast<double>(3 * i);
      y[i] = normal(generator);
    }
  }
};

TEST(CurvePoints, ShortCurvesAreGivenAsTheyAre) {
  const std::vector<double> x = {1, 2, 3};
  const std::vector<double> y = {5, nan, 7};
  const CurvePoints points = curve_points(view_of(x, y), {.columns = 10});
  EXPECT_EQ(points.x, x);
  EXPECT_EQ(points.y[0], 5);
  EXPECT_TRUE(std::isnan(points.y[1]));
  EXPECT_EQ(points.not_finite, 1U);
  EXPECT_TRUE(curve_points(view_of({}, {}), {}).x.empty());
}

TEST(CurvePoints, EveryColumnKeepsItsExtremes) {
  const Noise noise(100'000);
  constexpr size_t columns = 500;
  const CurvePoints points = curve_points(view_of(noise.x, noise.y), {.columns = columns});
  EXPECT_LE(points.x.size(), 2 * columns + 2);
  EXPECT_TRUE(std::is_sorted(points.x.begin(), points.x.end()));
  const double width = noise.x.back() / columns;
  std::map<size_t, std::pair<double, double>> wanted;
  std::map<size_t, std::pair<double, double>> given;
  const auto collect = [width](auto& into, double x, double y) {
    auto [place, is_new] = into.try_emplace(static_cast<size_t>(x / width), std::pair{y, y});
    place->second = {std::min(place->second.first, y), std::max(place->second.second, y)};
  };
  for (size_t i = 0; i < noise.x.size(); ++i) collect(wanted, noise.x[i], noise.y[i]);
  for (size_t i = 0; i < points.x.size(); ++i) collect(given, points.x[i], points.y[i]);
  EXPECT_EQ(given, wanted);
}

TEST(CurvePoints, ASpikeInAMillionPointsStaysWhereItIs) {
  Noise noise(1'000'000);
  noise.y[654'321] = 1e6;
  noise.y[654'322] = -1e6;
  const CurvePoints points = curve_points(view_of(noise.x, noise.y), {.columns = 300});
  const auto spike = std::max_element(points.y.begin(), points.y.end()) - points.y.begin();
  EXPECT_EQ(points.y[static_cast<size_t>(spike)], 1e6);
  EXPECT_EQ(points.x[static_cast<size_t>(spike)], 3 * 654'321);
  EXPECT_EQ(points.x[static_cast<size_t>(spike) + 1], 3 * 654'322);
  EXPECT_EQ(points.y[static_cast<size_t>(spike) + 1], -1e6);
}

TEST(CurvePoints, GapsAndInfinitiesStayGaps) {
  Noise noise(10'000);
  noise.y[5000] = nan;
  noise.y[7000] = infinity;
  noise.y[7001] = -infinity;
  const CurvePoints points = curve_points(view_of(noise.x, noise.y), {.columns = 50});
  EXPECT_EQ(points.not_finite, 3U);
  EXPECT_EQ(std::count_if(points.y.begin(), points.y.end(), [](double y) { return std::isnan(y); }), 2);
  for (const double y : points.y) EXPECT_FALSE(std::isinf(y));
}

TEST(CurvePoints, AStretchHasItsNeighboursAndAllItsDetail) {
  const Noise noise(100'000);
  const CurvePoints points = curve_points(view_of(noise.x, noise.y), {.from = 299.5, .to = 330.5, .columns = 500});
  ASSERT_EQ(points.x.size(), 13U);
  EXPECT_EQ(points.x.front(), 297);
  EXPECT_EQ(points.x[1], 300);
  EXPECT_EQ(points.x.back(), 333);
  EXPECT_EQ(points.y[1], noise.y[100]);
  EXPECT_TRUE(curve_points(view_of(noise.x, noise.y), {.from = 5, .to = 1}).x.size() <= 2);
}

TEST(CurvePoints, SmoothingIsTheCorrectedExponentialMeanOfAllBefore) {
  const Noise noise(400);
  std::vector<double> y = noise.y;
  y[100] = nan;
  const double keep = 0.9;
  for (const double from : {-infinity, 600.0}) {
    const CurvePoints points = curve_points(view_of(noise.x, y), {.from = from, .columns = 1000, .smoothing = keep});
    for (size_t j = 0; j < points.x.size(); ++j) {
      const auto i = static_cast<size_t>(points.x[j] / 3);
      if (i == 100) {
        EXPECT_TRUE(std::isnan(points.y[j]));
        continue;
      }
      // sum of (keep^age * value) / sum of keep^age, over the finite values
      double sum = 0;
      double weights = 0;
      double weight = 1;
      for (size_t k = i + 1; k-- > 0;) {
        if (!std::isfinite(y[k])) continue;
        sum += weight * y[k];
        weights += weight;
        weight *= keep;
      }
      // Some 400 roundings of numbers near 1 at 1.1e-16 each, divided by at least 1 - keep.
      EXPECT_NEAR(points.y[j], sum / weights, 400 * 1.2e-16 * 4 / (1 - keep)) << i;
    }
  }
}

TEST(CurvePoints, AllAtOnePlaceIsOneColumn) {
  const std::vector<double> x(5000, 4.0);
  const Noise noise(5000);
  const CurvePoints points = curve_points(view_of(x, noise.y), {.columns = 100});
  EXPECT_EQ(points.x.size(), 2U);
  EXPECT_EQ(*std::max_element(points.y.begin(), points.y.end()), *std::max_element(noise.y.begin(), noise.y.end()));
}

}  // namespace
}  // namespace athanor::testing::curve_points_test
