// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/line_plot.hpp"

#include <algorithm>
#include <cmath>

#include "athanor/core/text.hpp"
#include "athanor/track/picture.hpp"
#include "athanor/track/svg.hpp"

namespace athanor::plot {
namespace {

class LineDrawing {
 public:
  LineDrawing(svg::Writer& out, const LinePanel& panel, const Area& area, size_t max_points)
      : out_(out), panel_(panel), area_(area), max_points_(max_points) {
    double first = 0, last = 0;
    bool any = false;
    std::vector<double> values;
    for (size_t i = 0; i < panel.lines.size(); ++i) {
      for (const Point& point : panel.lines[i].points) {
        first = any ? std::min(first, point.x) : point.x;
        last = any ? std::max(last, point.x) : point.x;
        any = true;
        if (panel.range_of.value_or(i) == i) values.push_back(point.y);
      }
    }
    x_ = panel.log_x ? log_axis(any ? first : 1, any ? last : 10)
                     : epoch_axis(first, last, static_cast<int>(area.width / 70));
    y_ = value_axis(values, static_cast<int>(std::max(area.height / 45, 2.0)));
  }

  void draw() {
    std::vector<LegendEntry> legend;
    for (const Line& line : panel_.lines) legend.push_back({.name = line.name, .look = line.look});
    const double legend_left = draw_legend(out_, area_, legend);
    const double left = area_.left - room_left;
    draw_label(out_, left, area_.top - 14, "start", panel_.heading, 15, palette::ink, legend_left - left - 12);
    draw_frame(out_, area_, x_, y_, panel_.x_name);
    draw_mark();
    for (const Line& line : panel_.lines) draw_line(line);
  }

 private:
  [[nodiscard]] double across(double x) const {
    return area_.left + x_.place(panel_.log_x ? std::log10(x) : x) * area_.width;
  }

  void draw_mark() {
    if (!panel_.mark) return;
    const double at = across(*panel_.mark);
    out_.element("path",
                 {{"d", "M" + svg::number(at) + " " + svg::number(area_.top) + "V" + svg::number(area_.bottom())},
                  {"stroke", palette::best},
                  {"stroke-width", 1.5},
                  {"stroke-dasharray", "4 3"}});
    const bool left_half = at < area_.left + area_.width / 2;
    draw_label(out_, at + (left_half ? 7 : -7), area_.top + 13, left_half ? "start" : "end", panel_.mark_text, 12,
               palette::best, area_.width / 2);
  }

  void draw_line(const Line& line) {
    std::string path;
    bool pen_down = false;
    for (const Point& point : thin(line.points, std::max<size_t>(max_points_, 2))) {
      const double place = y_.place(point.y);
      if (!(place >= 0 && place <= 1)) {
        pen_down = false;
        continue;
      }
      path += (pen_down ? "L" : "M") + svg::number(across(point.x)) + " " +
              svg::number(area_.bottom() - place * area_.height);
      pen_down = true;
    }
    out_.open("g", {{"stroke", line.look.colour}});
    out_.text("title", {}, line.name.empty() ? panel_.heading : line.name);
    if (!path.empty()) {
      out_.element("path", {{"d", path},
                            {"fill", "none"},
                            {"stroke-width", line.look.width},
                            {"stroke-linejoin", "round"},
                            {"stroke-linecap", "round"},
                            {"stroke-dasharray", line.look.dashed ? "6 4" : "none"}});
    }
    out_.close();
  }

  svg::Writer& out_;
  const LinePanel& panel_;
  const Area& area_;
  size_t max_points_;
  Axis x_;
  Axis y_;
};

}  // namespace

Axis log_axis(double first, double last) {
  Axis axis{.low = std::log10(first), .high = std::log10(last)};
  if (!(axis.high > axis.low)) {
    axis.low -= 0.5;
    axis.high += 0.5;
  }
  const double span = axis.high - axis.low;
  const auto stride = static_cast<int>(std::max(1.0, std::ceil(span / 10)));
  for (auto power = static_cast<int>(std::floor(axis.low)); power <= static_cast<int>(std::ceil(axis.high)); ++power) {
    for (const int factor : {1, 2, 5}) {
      if (factor > 1 && span >= 2) continue;
      const double place = power + std::log10(factor);
      if (place < axis.low - 1e-9 || place > axis.high + 1e-9 || power % stride != 0) continue;
      axis.ticks.push_back(place);
      axis.labels.push_back(std::to_string(factor) + "e" + std::to_string(power));
    }
  }
  return axis;
}

std::string draw_lines(const LinePlot& plot) {
  svg::Writer out;
  const double width = std::max(plot.width, 200);
  const double height = std::max(plot.height, 140);
  const auto count = static_cast<double>(plot.panels.size());
  open_picture(out, 2 * page_margin + width, header_height + count * height + (count - 1) * panel_gap + page_margin / 2,
               plot.title, plot.summary);
  for (size_t i = 0; i < plot.panels.size(); ++i) {
    const Area area{page_margin + room_left, header_height + room_top + static_cast<double>(i) * (height + panel_gap),
                    width - room_left - room_right, height - room_top - room_bottom};
    LineDrawing(out, plot.panels[i], area, plot.max_points).draw();
  }
  return out.finish();
}

}  // namespace athanor::plot
