// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/schedule_plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/optimizer.hpp"
#include "athanor/track/line_plot.hpp"

namespace athanor {
namespace {

constexpr int64_t most_evaluations = 20000;

constexpr std::array<plot::Look, 4> schedule_looks{
    {{"#0b5fb0", 2.4, false}, {"#0f766e", 2.0, true}, {"#7e3fb5", 2.0, false}, {"#8a5a00", 2.0, true}}};

std::vector<plot::Point> points_of(const Schedule& schedule, const SchedulePlotOptions& options, double base) {
  std::vector<plot::Point> points;
  const int64_t stride = std::max<int64_t>(options.updates / most_evaluations, 1);
  const double epochs_per_update = options.epochs / static_cast<double>(options.updates);
  for (int64_t update = 0; update < options.updates; update += stride) {
    const double factor = schedule.factor({.updates = update,
                                           .epochs = static_cast<double>(update) * epochs_per_update,
                                           .total_updates = options.updates,
                                           .total_epochs = options.epochs});
    points.push_back({static_cast<double>(update), base * factor});
  }
  return points;
}

/// Adds what a schedule sets to the panel of its field.
void add_schedule(std::vector<plot::LinePanel>& panels, const Schedule& schedule, const SchedulePlotOptions& options,
                  const std::string& group) {
  if (const auto parts = schedule.parts(); !parts.empty()) {
    bool same_field = false;
    for (const Schedule& part : parts.subspan(1)) same_field = same_field || part.field() == parts[0].field();
    for (size_t i = 0; i < parts.size(); ++i) {
      add_schedule(panels, parts[i], options, same_field ? "group " + std::to_string(i) : group);
    }
    return;
  }
  const bool is_rate = schedule.field() == OptimizerField::lr;
  const std::optional<double> base = schedule.base() ? schedule.base() : is_rate ? options.base : std::nullopt;
  const std::string heading = base ? name_of(schedule.field()) : std::string("factor of ") + name_of(schedule.field());
  auto panel = std::find_if(panels.begin(), panels.end(), [&](const auto& each) { return each.heading == heading; });
  if (panel == panels.end()) panel = panels.insert(panels.end(), {.heading = heading, .x_name = "update"});
  panel->lines.push_back({.name = group,
                          .look = schedule_looks[panel->lines.size() % schedule_looks.size()],
                          .points = points_of(schedule, options, base.value_or(1))});
}

}  // namespace

std::string plot_svg(const Schedule& schedule, const SchedulePlotOptions& options) {
  if (options.updates < 1 || !(options.epochs > 0) || !std::isfinite(options.epochs)) {
    throw Error({.what = "the picture of a schedule needs the length of the run",
                 .where = "SchedulePlotOptions",
                 .got = std::to_string(options.updates) + " updates, " + shortest(options.epochs) + " epochs",
                 .expected = "updates of 1 or more and epochs above 0"});
  }
  plot::LinePlot picture{.title = options.title,
                         .summary = schedule.describe(),
                         .panels = {},
                         .width = options.panel_width,
                         .height = options.panel_height,
                         .max_points = options.max_points};
  add_schedule(picture.panels, schedule, options, {});
  return plot::draw_lines(picture);
}

void save_plot(const Schedule& schedule, const SchedulePlotOptions& options, const std::filesystem::path& path) {
  write_file_atomically(path, plot_svg(schedule, options));
}

}  // namespace athanor
