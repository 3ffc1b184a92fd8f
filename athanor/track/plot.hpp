// SPDX-License-Identifier: Apache-2.0
// The curves of a run as a picture: SVG, which every browser opens and no library is needed for.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "athanor/train/history.hpp"

namespace athanor {

/// How the picture looks. Every field may be left out.
struct PlotOptions {
  std::string title = "Training history";
  /// Panels beside each other. Unset: one for a single quantity, else two.
  std::optional<int> columns = {};
  /// Of each panel with its axes, in pixels of the picture; at least 200 by 140.
  int panel_width = 460;
  int panel_height = 300;
  /// Longer runs are thinned to about so many points a curve; peaks and dips are kept.
  size_t max_points = 500;
};

/// One panel for each quantity (`loss`, `acc`, …) with a curve for every stage that has it: training lighter and
/// dashed, validation strong. The best epoch is marked where it was decided and in every other panel. Values that are
/// NaN or infinite leave a gap; what stands alone is a dot. A history without epochs gives a picture that says so.
///
/// Throws Error when `columns` is less than 1. May be called from any thread.
[[nodiscard]] std::string plot_svg(const History& history, const PlotOptions& options = {});

/// Writes that picture to a file, atomically. Throws Error when the file can't be written.
void save_plot(const History& history, const std::filesystem::path& path, const PlotOptions& options = {});

}  // namespace athanor
