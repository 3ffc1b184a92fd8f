// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/lr_curve_plot.hpp"

#include <algorithm>

#include "athanor/core/file.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/line_plot.hpp"

namespace athanor {
namespace {

std::vector<plot::Point> over_rates(const std::vector<double>& lrs, const std::vector<double>& losses) {
  std::vector<plot::Point> points;
  for (size_t i = 0; i < std::min(lrs.size(), losses.size()); ++i) points.push_back({lrs[i], losses[i]});
  return points;
}

}  // namespace

std::string plot_svg(const LrCurve& curve, const LrCurvePlotOptions& options) {
  plot::LinePlot picture{.title = options.title,
                         .summary = "no steps yet",
                         .panels = {},
                         .width = options.panel_width,
                         .height = options.panel_height};
  if (curve.lrs.empty()) return plot::draw_lines(picture);
  const std::optional<double> suggestion = curve.suggestion(options.skip_begin, options.skip_end);
  picture.summary = std::to_string(curve.lrs.size()) + " steps from " + format_number(curve.lrs.front()) + " to " +
                    format_number(curve.lrs.back()) +
                    (suggestion ? " · suggestion " + format_number(*suggestion) : " · no suggestion");
  picture.panels.push_back(
      {.heading = "loss",
       .x_name = "learning rate",
       .log_x = true,
       .lines = {{.name = "step", .look = {"#7d8da3", 1.8, true}, .points = over_rates(curve.lrs, curve.losses)},
                 {.name = "smoothed",
                  .look = {"#0b5fb0", 2.4, false},
                  .points = over_rates(curve.lrs, curve.smoothed)}},
       .range_of = 1,
       .mark = suggestion,
       .mark_text = suggestion ? format_number(*suggestion) : ""});
  return plot::draw_lines(picture);
}

void save_plot(const LrCurve& curve, const std::filesystem::path& path, const LrCurvePlotOptions& options) {
  write_file_atomically(path, plot_svg(curve, options));
}

}  // namespace athanor
