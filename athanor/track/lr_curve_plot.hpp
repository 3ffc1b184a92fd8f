// SPDX-License-Identifier: Apache-2.0
// The sweep of the learning-rate finder as a picture.
#pragma once

#include <filesystem>
#include <string>

#include "athanor/callbacks/lr_finder.hpp"

namespace athanor {

struct LrCurvePlotOptions {
  std::string title = "Learning-rate finder";
  size_t skip_begin = 10;  ///< For the suggestion that is marked; see LrCurve::suggestion.
  size_t skip_end = 1;
  int panel_width = 640;  ///< In pixels of the picture; at least 200 by 140.
  int panel_height = 320;
};

/// SVG: the loss of each step, lighter and dashed, and the smoothed loss over the rate in logarithms; the suggestion is
/// marked, where there is one. The axis shows all of the smoothed loss; what lies outside leaves a gap. A curve without
/// a step gives a picture that says so. May be called from any thread.
[[nodiscard]] std::string plot_svg(const LrCurve& curve, const LrCurvePlotOptions& options = {});

/// Writes that picture to a file, atomically. Throws Error when the file can't be written.
void save_plot(const LrCurve& curve, const std::filesystem::path& path, const LrCurvePlotOptions& options = {});

}  // namespace athanor
