// SPDX-License-Identifier: Apache-2.0
// One panel of a plot: the curves of one quantity over the epochs.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "athanor/track/panel_frame.hpp"
#include "athanor/track/svg.hpp"
#include "athanor/train/history.hpp"

namespace athanor::plot {

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

/// Draws a panel. `epochs` are the numbers of the epochs, rising and at least one; the curves have as many values.
void draw_panel(svg::Writer& out, const Panel& panel, const Area& area, const std::vector<double>& epochs,
                const std::optional<History::Best>& best, size_t max_points);

}  // namespace athanor::plot
