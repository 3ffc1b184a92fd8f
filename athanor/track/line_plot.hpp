// SPDX-License-Identifier: Apache-2.0
// Lines over any numbers, panel below panel: what schedules and sweeps are drawn with.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "athanor/track/axis.hpp"
#include "athanor/track/panel.hpp"

namespace athanor::plot {

/// One line; its points rise in x. A y that is NaN or infinite, or lies outside the panel, leaves a gap.
struct Line {
  std::string name = {};  ///< For the legend; empty: not in it.
  Look look = {};
  std::vector<Point> points = {};
};

struct LinePanel {
  std::string heading = {};
  std::string x_name = {};
  bool log_x = false;  ///< Then every x is above 0.
  std::vector<Line> lines = {};
  std::optional<size_t> range_of = {};  ///< The line that all of is shown; unset: every line.
  std::optional<double> mark = {};      ///< A vertical line at that x …
  std::string mark_text = {};           ///< … with that text.
};

struct LinePlot {
  std::string title = {};
  std::string summary = {};
  std::vector<LinePanel> panels = {};
  int width = 640;   ///< Of each panel with its axes, in pixels; at least 200.
  int height = 280;  ///< At least 140.
  size_t max_points = 500;
};

/// The picture as SVG.
[[nodiscard]] std::string draw_lines(const LinePlot& plot);

/// An axis over the logarithms of a range above 0, with ticks at powers of ten; over less than two of them at 2 and 5
/// times too. `low`, `high` and ticks are decimal logarithms.
[[nodiscard]] Axis log_axis(double first, double last);

}  // namespace athanor::plot
