// SPDX-License-Identifier: Apache-2.0
// A schedule as a picture, before anything is trained.
//
//     athanor::save_plot(schedule, {.updates = 10'000, .epochs = 20, .base = 1e-3}, "schedule.svg");
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "athanor/optim/schedule.hpp"

namespace athanor {

struct SchedulePlotOptions {
  int64_t updates = 0;  ///< Of the whole run, as its epochs are; both are needed, 1 and above 0 at least.
  double epochs = 0;
  std::optional<double> base = {};  ///< The learning rate that the optimizer will have; unset: factors are drawn.
  std::string title = "Schedule";
  int panel_width = 640;  ///< Of each panel with its axes, in pixels of the picture; at least 200 by 140.
  int panel_height = 280;
  size_t max_points = 500;  ///< Longer runs are thinned to about so many points; peaks and dips are kept.
};

/// SVG: a panel for each field of the schedule, a line for each of its groups. What learns from values of the run is
/// drawn as if there were none. Throws Error for lengths out of range, and what the schedule throws. May be called from
/// any thread, unless a lambda in the schedule minds.
[[nodiscard]] std::string plot_svg(const Schedule& schedule, const SchedulePlotOptions& options);

/// Writes that picture to a file, atomically. Throws Error when the file can't be written.
void save_plot(const Schedule& schedule, const SchedulePlotOptions& options, const std::filesystem::path& path);

}  // namespace athanor
