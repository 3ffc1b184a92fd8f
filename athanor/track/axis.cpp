// SPDX-License-Identifier: Apache-2.0
// Ranges, ticks and thinning.
#include "athanor/track/axis.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace athanor::plot {
namespace {

// The smallest of 1, 2, 5 times a power of ten that is not much below `step`: rather too many ticks than two.
double round_step(double wanted) {
  const double step = wanted * 0.65;
  const double power = std::pow(10.0, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= step * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::string label(double value, double step, double largest) {
  char buffer[64];
  if (largest >= 1e5 || largest < 1e-3) {
    const auto digits = static_cast<int>(std::floor(std::log10(largest)) - std::floor(std::log10(step)));
    if (value == 0) return "0";
    const auto format = std::chars_format::scientific;
    std::string text(buffer,
                     std::to_chars(buffer, buffer + sizeof buffer, value, format, std::clamp(digits, 0, 6)).ptr);
    // `8e-04` reads better as `8e-4`.
    const size_t exponent = text.find('e') + 1;
    if (text[exponent] == '+') text.erase(exponent, 1);
    const size_t zero = exponent + (text[exponent] == '-' ? 1 : 0);
    if (text[zero] == '0') text.erase(zero, 1);
    return text;
  }
  const int decimals = std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 9);
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, decimals).ptr};
}

void add_ticks(Axis& axis, double step) {
  const double first = std::ceil(axis.low / step - 1e-9);
  const double last = std::floor(axis.high / step + 1e-9);
  const double largest = std::max(std::abs(axis.low), std::abs(axis.high));
  for (double multiple = first; multiple <= last && axis.ticks.size() < 50; ++multiple) {
    const double value = multiple == 0 ? 0.0 : multiple * step;
    axis.ticks.push_back(value);
    axis.labels.push_back(label(value, step, largest));
  }
}

}  // namespace

Axis value_axis(const std::vector<double>& values, int count) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  Axis axis;
  if (low <= high) {
    // Halves first: the difference of two huge numbers would be infinite.
    const double half = high / 2 - low / 2;
    const double magnitude = std::max(std::abs(low), std::abs(high));
    const double air = half > magnitude * 1e-9 ? half * 0.12 : (magnitude > 0 ? magnitude * 0.1 : 1.0);
    axis.low = std::max(low - air, -std::numeric_limits<double>::max() / 4);
    axis.high = std::min(high + air, std::numeric_limits<double>::max() / 4);
    // What can't be negative gets no axis that suggests it.
    if (low >= 0) axis.low = std::max(axis.low, 0.0);
  }
  add_ticks(axis, round_step((axis.high - axis.low) / count));
  return axis;
}

Axis epoch_axis(double first, double last, int count) {
  Axis axis{.low = first, .high = last};
  if (last <= first) {
    axis.low = first - 0.5;
    axis.high = first + 0.5;
  }
  add_ticks(axis, std::max(1.0, round_step((axis.high - axis.low) / count)));
  // The first epoch has its label; the first round number gives way where the two would touch.
  if (axis.ticks.empty() || axis.ticks.front() > first) {
    const bool close = axis.ticks.size() > 1 && axis.ticks[0] - first < 0.75 * (axis.ticks[1] - axis.ticks[0]);
    if (close) {
      axis.ticks.erase(axis.ticks.begin());
      axis.labels.erase(axis.labels.begin());
    }
    axis.ticks.insert(axis.ticks.begin(), first);
    axis.labels.insert(axis.labels.begin(), label(first, 1, first));
  }
  return axis;
}

std::vector<Point> thin(const std::vector<Point>& points, size_t count) {
  const size_t stretches = std::max<size_t>(count / 2, 1);
  if (points.size() <= 2 * stretches) return points;
  std::vector<Point> result;
  for (size_t i = 0; i < stretches; ++i) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(points.size() * i / stretches);
    const auto end = points.begin() + static_cast<std::ptrdiff_t>(points.size() * (i + 1) / stretches);
    auto lowest = end;
    auto highest = end;
    auto gap = end;
    for (auto point = begin; point != end; ++point) {
      if (!std::isfinite(point->y)) {
        gap = point;
        continue;
      }
      if (lowest == end || point->y < lowest->y) lowest = point;
      if (highest == end || point->y >= highest->y) highest = point;
    }
    std::vector<std::vector<Point>::const_iterator> kept{lowest, highest, gap};
    std::sort(kept.begin(), kept.end());
    kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
    for (const auto& point : kept) {
      if (point != end) result.push_back(*point);
    }
  }
  // A curve begins and ends where the run does.
  if (result.front().x != points.front().x) result.insert(result.begin(), points.front());
  if (result.back().x != points.back().x) result.push_back(points.back());
  return result;
}

}  // namespace athanor::plot
