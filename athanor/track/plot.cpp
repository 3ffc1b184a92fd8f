// SPDX-License-Identifier: Apache-2.0
// The frame of the picture and the grid of its panels.
#include "athanor/track/plot.hpp"

#include <algorithm>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/panel.hpp"
#include "athanor/track/picture.hpp"
#include "athanor/track/svg.hpp"

namespace athanor {
namespace {

class Picture {
 public:
  Picture(const History& history, const PlotOptions& options) : history_(history), options_(options) {
    for (const auto& epoch : history.epochs()) epochs_.push_back(epoch.progress());
  }

  std::string draw() {
    if (history_.empty()) {
      frame(2 * plot::page_margin + options_.panel_width, plot::header_height);
      return out_.finish();
    }
    const auto panels = plot::panels_of(history_);
    const int count = std::max(static_cast<int>(panels.size()), 1);
    const int columns = std::min(options_.columns.value_or(2), count);
    const int rows = (count + columns - 1) / columns;
    const double width = std::max(options_.panel_width, 200);
    const double height = std::max(options_.panel_height, 140);
    frame(2 * plot::page_margin + columns * width + (columns - 1) * plot::panel_gap,
          plot::header_height + rows * height + (rows - 1) * plot::panel_gap + plot::page_margin / 2);
    for (size_t i = 0; i < panels.size(); ++i) {
      const int row = static_cast<int>(i) / columns;
      const int column = static_cast<int>(i) % columns;
      const plot::Area area{plot::page_margin + plot::room_left + column * (width + plot::panel_gap),
                            plot::header_height + plot::room_top + row * (height + plot::panel_gap),
                            width - plot::room_left - plot::room_right, height - plot::room_top - plot::room_bottom};
      plot::draw_panel(out_, panels[i], area, epochs_, history_.best(), options_.max_points);
    }
    return out_.finish();
  }

 private:
  void frame(double width, double height) { plot::open_picture(out_, width, height, options_.title, summary()); }

  [[nodiscard]] std::string summary() const {
    if (history_.empty()) return "no epochs yet";
    std::string text;
    if (const auto& best = history_.best(); best && best->epoch > 0) {
      text = "best " + best->monitor + " " + format_number(best->value) + " at epoch " + std::to_string(best->epoch);
    }
    std::string reason = history_.stop_reason();
    if (reason.empty()) reason = "up to epoch " + std::to_string(history_.last().number);
    return text.empty() ? reason : text + " · " + reason;
  }

  const History& history_;
  const PlotOptions& options_;
  std::vector<double> epochs_;
  svg::Writer out_;
};

}  // namespace

std::string plot_svg(const History& history, const PlotOptions& options) {
  if (options.columns && *options.columns < 1) {
    throw Error({.what = "a plot needs at least one column of panels",
                 .where = "PlotOptions::columns",
                 .got = std::to_string(*options.columns),
                 .expected = "1 or more, or unset"});
  }
  return Picture(history, options).draw();
}

void save_plot(const History& history, const std::filesystem::path& path, const PlotOptions& options) {
  write_file_atomically(path, plot_svg(history, options));
}

}  // namespace athanor
