// SPDX-License-Identifier: Apache-2.0
// One panel of a plot: the curves of one quantity over the epochs.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "athanor/track/svg.hpp"
#include "athanor/train/history.hpp"

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

/// How the line of a stage is drawn.
struct Look {
  const char* colour = "";
  double width = 2;
  bool dashed = false;
};

/// One value of the history.
struct Curve {
  std::string name = {};   ///< As in the history.
  std::string stage = {};  ///< `train`, `val`, the name of a loader, or nothing.
  Look look = {};
  std::vector<double> values = {};
};

/// The curves that belong together.
struct Panel {
  std::string quantity = {};
  std::vector<Curve> curves = {};
};

/// Sorts the values of a history into panels. `val_acc` is the stage `val` of `acc`; where there is a `train_acc`,
/// `night_acc` is a stage of `acc` as well. Every other value has a panel of its own.
[[nodiscard]] std::vector<Panel> panels_of(const History& history);

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

/// Draws a panel. `epochs` are the numbers of the epochs, rising and at least one; the curves have as many values.
void draw_panel(svg::Writer& out, const Panel& panel, const Area& area, const std::vector<double>& epochs,
                const std::optional<History::Best>& best, size_t max_points);

/// A line of text of that size, shortened to the width; sizes above 13 are headings.
void draw_label(svg::Writer& out, double x, double y, const char* anchor, const std::string& text, double size,
                const char* colour, double width);

}  // namespace athanor::plot
