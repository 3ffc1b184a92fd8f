// SPDX-License-Identifier: Apache-2.0
// What stands around the curves of a panel: colours, axes, legend.
#pragma once

#include <string>
#include <vector>

#include "athanor/track/axis.hpp"
#include "athanor/track/svg.hpp"

namespace athanor::plot {

/// The colours that a plot and its panels share.
namespace palette {
constexpr const char* ink = "#1b2430";
constexpr const char* soft_ink = "#5b6675";
constexpr const char* axis = "#aab3bf";
constexpr const char* grid = "#e6e9ee";
constexpr const char* edge = "#d5dae1";
constexpr const char* best = "#c2410c";
}  // namespace palette

/// How a line is drawn.
struct Look {
  const char* colour = "";
  double width = 2;
  bool dashed = false;
};

/// Where a panel's curves lie in the picture, in pixels; heading, legend and labels are drawn around it.
struct Area {
  double left = 0;
  double top = 0;
  double width = 0;
  double height = 0;
  [[nodiscard]] double right() const noexcept { return left + width; }
  [[nodiscard]] double bottom() const noexcept { return top + height; }
};

/// What a panel needs around its area.
constexpr double room_left = 46;
constexpr double room_right = 10;
constexpr double room_top = 34;
constexpr double room_bottom = 40;

/// A line of text of that size, shortened to the width; sizes above 13 are headings.
void draw_label(svg::Writer& out, double x, double y, const char* anchor, const std::string& text, double size,
                const char* colour, double width);

/// A line of the legend.
struct LegendEntry {
  std::string name = {};  ///< Empty: not in it.
  Look look = {};
};

/// Draws the legend above the area, from right to left, as many entries as there is room for, the last one first.
/// Returns where it begins.
double draw_legend(svg::Writer& out, const Area& area, const std::vector<LegendEntry>& entries);

/// Draws the lines of a grid at the ticks of y, and the axis of x with its ticks and name.
void draw_frame(svg::Writer& out, const Area& area, const Axis& x, const Axis& y, const std::string& x_name);

}  // namespace athanor::plot
