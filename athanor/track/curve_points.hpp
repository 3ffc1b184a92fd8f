// SPDX-License-Identifier: Apache-2.0
// Fewer points of a long curve with the same outline, over a stretch of its axis, smoothed or not.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <vector>

namespace athanor::track {

struct CurveView {
  size_t size = 0;
  std::function<double(size_t)> x = {};  ///< Must not fall with its index.
  std::function<double(size_t)> y = {};
};

struct CurveRequest {
  /// The stretch that is looked at; the neighbours on both sides are added, so that lines reach its edges.
  double from = -std::numeric_limits<double>::infinity();
  double to = std::numeric_limits<double>::infinity();
  /// Columns of the picture. At most about three points are given for each: lowest, highest, gap.
  size_t columns = 600;
  /// 0: none. Else each point is the exponential mean of all before it, which keeps this share of the last mean; means
  /// are corrected for the missing past (as Adam's are). Values that are not finite are left out of the mean.
  double smoothing = 0;
};

struct CurvePoints {
  std::vector<double> x = {};
  std::vector<double> y = {};  ///< NaN where the curve is interrupted.
  size_t not_finite = 0;       ///< Values of the stretch that are NaN or infinite.
};

/// In one pass over the curve (without smoothing: over the stretch). Up to twice as many points as there are columns
/// are given as they are. Each column keeps its lowest and its highest value at their places, and a gap.
[[nodiscard]] CurvePoints curve_points(const CurveView& curve, const CurveRequest& request);

}  // namespace athanor::track
