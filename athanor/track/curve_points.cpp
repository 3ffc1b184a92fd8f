// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/curve_points.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace athanor::track {
namespace {

/// The first index whose x is not below `limit`, or above it.
size_t first_from(const CurveView& curve, double limit, bool above) {
  size_t low = 0;
  size_t high = curve.size;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const double x = curve.x(middle);
    if (above ? x <= limit : x < limit) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

class ExponentialMean {
 public:
  explicit ExponentialMean(double keep) : keep_(keep) {}
  double take(double value) {
    if (keep_ <= 0 || !std::isfinite(value)) return value;
    mean_ = keep_ * mean_ + (1 - keep_) * value;
    rest_ *= keep_;
    return mean_ / (1 - rest_);
  }

 private:
  double keep_;
  double mean_ = 0;
  double rest_ = 1;
};

struct CurveColumn {
  static constexpr size_t none = static_cast<size_t>(-1);
  size_t lowest = none, highest = none, gap = none;
  double low = 0, high = 0;

  void take(size_t index, double y) {
    if (!std::isfinite(y)) {
      gap = index;
      return;
    }
    if (lowest == none || y < low) lowest = index, low = y;
    if (highest == none || y >= high) highest = index, high = y;
  }
  void move_into(CurvePoints& result, const CurveView& curve) {
    std::array<std::pair<size_t, double>, 3> points = {
        {{lowest, low}, {highest, high}, {gap, std::numeric_limits<double>::quiet_NaN()}}};
    std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    size_t last = none;
    for (const auto& [index, y] : points) {
      if (index == none || index == last) continue;
      result.x.push_back(curve.x(index));
      result.y.push_back(y);
      last = index;
    }
    *this = CurveColumn();
  }
};

}  // namespace

CurvePoints curve_points(const CurveView& curve, const CurveRequest& request) {
  CurvePoints result;
  size_t begin = first_from(curve, request.from, /*above=*/false);
  size_t end = first_from(curve, request.to, /*above=*/true);
  if (begin > 0) begin -= 1;
  if (end < curve.size) end += 1;
  if (begin >= end) return result;
  ExponentialMean mean(std::min(request.smoothing, 0.9999));
  if (request.smoothing > 0) {
    for (size_t i = 0; i < begin; ++i) mean.take(curve.y(i));
  }
  const size_t columns = std::max<size_t>(request.columns, 1);
  const bool whole = end - begin <= 2 * columns;
  const double first = curve.x(begin);
  const double width = (curve.x(end - 1) - first) / static_cast<double>(columns);
  CurveColumn column;
  size_t place = 0;
  for (size_t i = begin; i < end; ++i) {
    const double y = curve.y(i);
    result.not_finite += std::isfinite(y) ? 0 : 1;
    const double shown = mean.take(y);
    if (whole) {
      result.x.push_back(curve.x(i));
      result.y.push_back(std::isfinite(shown) ? shown : std::numeric_limits<double>::quiet_NaN());
      continue;
    }
    const size_t here = width > 0 ? static_cast<size_t>((curve.x(i) - first) / width) : 0;
    if (here != place) {
      column.move_into(result, curve);
      place = here;
    }
    column.take(i, shown);
  }
  if (!whole) column.move_into(result, curve);
  return result;
}

}  // namespace athanor::track
