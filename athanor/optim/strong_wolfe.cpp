// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/strong_wolfe.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace athanor::optim::detail {
namespace {

constexpr double sufficient_decrease = 1e-4;
constexpr double curvature = 0.9;

struct Bracket {
  LinePoint ends[2];
  bool found = false;  ///< `ends[0]` fulfils the conditions.
  [[nodiscard]] size_t low() const { return found || ends[0].loss <= ends[1].loss ? 0 : 1; }
  [[nodiscard]] double begin() const { return std::min(ends[0].t, ends[1].t); }
  [[nodiscard]] double end() const { return std::max(ends[0].t, ends[1].t); }
};

class Search {
 public:
  Search(const std::function<LinePoint(double)>& evaluate, const LinePoint& start, int64_t most)
      : evaluate_(evaluate), start_(start), most_(most) {}

  LineResult run(double first, double largest, double tolerance_change) {
    Bracket bracket = enclose(first);
    if (!bracket.found) narrow(bracket, largest, tolerance_change);
    return {bracket.ends[bracket.low()], evaluations_};
  }

 private:
  LinePoint at(double t) {
    ++evaluations_;
    return evaluate_(t);
  }
  [[nodiscard]] bool descends_too_little(const LinePoint& point) const {
    return point.loss > start_.loss + sufficient_decrease * point.t * start_.slope;
  }
  [[nodiscard]] bool is_flat(const LinePoint& point) const {
    return std::abs(point.slope) <= -curvature * start_.slope;
  }

  Bracket enclose(double t) {
    LinePoint before = start_, point = at(t);
    for (; iterations_ < most_; ++iterations_) {
      if (descends_too_little(point) || (iterations_ > 1 && point.loss >= before.loss)) return {{before, point}};
      if (is_flat(point)) return {{point, point}, true};
      if (point.slope >= 0) return {{before, point}};
      const double next = cubic_minimum(before, point, point.t + 0.01 * (point.t - before.t), point.t * 10);
      before = std::exchange(point, at(next));
    }
    return {{start_, point}};
  }

  void narrow(Bracket& bracket, double largest, double tolerance_change) {
    bool near_an_end = false;
    size_t low = bracket.low();
    while (iterations_ < most_ && (bracket.end() - bracket.begin()) * largest >= tolerance_change) {
      auto& ends = bracket.ends;
      double t = cubic_minimum(ends[0], ends[1], bracket.begin(), bracket.end());
      // Twice near an end makes too little progress.
      const double margin = 0.1 * (bracket.end() - bracket.begin());
      if (std::min(bracket.end() - t, t - bracket.begin()) < margin) {
        if (near_an_end || t >= bracket.end() || t <= bracket.begin()) {
          t = bracket.end() - t < t - bracket.begin() ? bracket.end() - margin : bracket.begin() + margin;
          near_an_end = false;
        } else {
          near_an_end = true;
        }
      } else {
        near_an_end = false;
      }
      LinePoint point = at(t);
      ++iterations_;
      if (descends_too_little(point) || point.loss >= ends[low].loss) {
        ends[1 - low] = std::move(point);
        low = ends[0].loss <= ends[1].loss ? 0 : 1;
        continue;
      }
      const bool done = is_flat(point);
      if (!done && point.slope * (ends[1 - low].t - ends[low].t) >= 0) ends[1 - low] = ends[low];
      ends[low] = std::move(point);
      if (!done) continue;
      bracket.found = true;
      if (low == 1) std::swap(ends[0], ends[1]);
      return;
    }
    if (low == 1) std::swap(bracket.ends[0], bracket.ends[1]);
    bracket.found = true;
  }

  const std::function<LinePoint(double)>& evaluate_;
  const LinePoint& start_;
  int64_t most_;
  int64_t iterations_ = 0;
  int64_t evaluations_ = 0;
};

}  // namespace

double cubic_minimum(const LinePoint& a, const LinePoint& b, double lowest, double highest) {
  const double d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t);
  const double square = d1 * d1 - a.slope * b.slope;
  if (!(square >= 0) || !std::isfinite(square)) return (lowest + highest) / 2;
  const double d2 = std::sqrt(square);
  const double t = a.t <= b.t ? b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
                              : a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2));
  return std::isnan(t) ? (lowest + highest) / 2 : std::min(std::max(t, lowest), highest);
}

LineResult strong_wolfe(const std::function<LinePoint(double t)>& evaluate, const LinePoint& start, double first,
                        double largest, double tolerance_change, int64_t most_evaluations) {
  return Search(evaluate, start, most_evaluations).run(first, largest, tolerance_change);
}

}  // namespace athanor::optim::detail
