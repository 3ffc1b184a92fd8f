// SPDX-License-Identifier: Apache-2.0
// The arithmetic of a plot: ranges, ticks at round numbers, fewer points with the same outline.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace athanor::plot {

/// A stretch of an axis with the places that carry a label.
struct Axis {
  double low = 0;
  double high = 1;
  std::vector<double> ticks = {};
  std::vector<std::string> labels = {};

  /// Where a value lies: 0 at `low`, 1 at `high`.
  [[nodiscard]] double place(double value) const noexcept { return (value - low) / (high - low); }
};

/// An axis that shows all finite values with a little air around them; ticks are multiples of 1, 2 or 5 times a power
/// of ten, about `count` of them. Without a finite value it goes from 0 to 1.
[[nodiscard]] Axis value_axis(const std::vector<double>& values, int count);

/// An axis over whole numbers from `first` to `last`; every tick is one.
[[nodiscard]] Axis epoch_axis(double first, double last, int count);

/// A point of a curve; `y` is NaN where the curve is interrupted.
struct Point {
  double x = 0;
  double y = 0;
};

/// About `count` of the points, ordered as they were: each stretch keeps its lowest, its highest and its gaps.
[[nodiscard]] std::vector<Point> thin(const std::vector<Point>& points, size_t count);

}  // namespace athanor::plot
