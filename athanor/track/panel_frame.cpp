// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/panel_frame.hpp"

namespace athanor::plot {
namespace {

constexpr double legend_text = 12;  // height of its letters, in pixels
constexpr double legend_dash = 26;  // length of the piece of line before a name
constexpr double longest_name = 140;

}  // namespace

void draw_label(svg::Writer& out, double x, double y, const char* anchor, const std::string& text, double size,
                const char* colour, double width) {
  out.text("text",
           {{"x", x},
            {"y", y},
            {"text-anchor", anchor},
            {"font-size", size},
            {"font-weight", size > 13 ? "600" : "400"},
            {"fill", colour}},
           svg::shorten(text, size, width));
}

double draw_legend(svg::Writer& out, const Area& area, const std::vector<LegendEntry>& entries) {
  double right = area.right();
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->name.empty()) continue;
    const std::string name = svg::shorten(entry->name, legend_text, longest_name);
    const double line_end = right - svg::text_width(name, legend_text) - 7;
    const double line_begin = line_end - legend_dash;
    if (line_begin < area.left + 60) break;
    draw_label(out, line_end + 7, area.top - 14, "start", name, legend_text, palette::soft_ink, longest_name + 10);
    out.element("path", {{"d", "M" + svg::number(line_begin) + " " + svg::number(area.top - 18.5) + "H" +
                                   svg::number(line_end)},
                         {"stroke", entry->look.colour},
                         {"stroke-width", entry->look.width},
                         {"stroke-dasharray", entry->look.dashed ? "6 4" : "none"}});
    right = line_begin - 16;
  }
  return right;
}

void draw_frame(svg::Writer& out, const Area& area, const Axis& x, const Axis& y, const std::string& x_name) {
  std::string lines;
  for (size_t i = 0; i < y.ticks.size(); ++i) {
    const double at = area.bottom() - y.place(y.ticks[i]) * area.height;
    lines += "M" + svg::number(area.left) + " " + svg::number(at) + "H" + svg::number(area.right());
    draw_label(out, area.left - 8, at + 4, "end", y.labels[i], 11.5, palette::soft_ink, room_left + 20);
  }
  out.element("path", {{"d", lines}, {"stroke", palette::grid}, {"fill", "none"}});
  std::string marks = "M" + svg::number(area.left) + " " + svg::number(area.bottom()) + "H" + svg::number(area.right());
  for (size_t i = 0; i < x.ticks.size(); ++i) {
    const double at = area.left + x.place(x.ticks[i]) * area.width;
    marks += "M" + svg::number(at) + " " + svg::number(area.bottom()) + "v5";
    draw_label(out, at, area.bottom() + 19, "middle", x.labels[i], 11.5, palette::soft_ink, area.width);
  }
  out.element("path", {{"d", marks}, {"stroke", palette::axis}, {"fill", "none"}});
  draw_label(out, area.left + area.width / 2, area.bottom() + 36, "middle", x_name, 11.5, palette::soft_ink,
             area.width);
}

}  // namespace athanor::plot
