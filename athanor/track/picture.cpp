// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/picture.hpp"

#include "athanor/track/panel.hpp"

namespace athanor::plot {

void open_picture(svg::Writer& out, double width, double height, const std::string& title, const std::string& summary) {
  out.open("svg", {{"xmlns", "http://www.w3.org/2000/svg"},
                   {"width", width},
                   {"height", height},
                   {"viewBox", "0 0 " + svg::number(width) + " " + svg::number(height)},
                   {"role", "img"},
                   {"font-family", font_family},
                   {"font-size", 12.0},
                   {"fill", palette::soft_ink},
                   {"style", "font-variant-numeric: tabular-nums"}});
  out.text("title", {}, title);
  out.text("desc", {}, summary);
  // A background and an edge of its own, so that it reads on a dark page too.
  out.element("rect", {{"x", 0.5},
                       {"y", 0.5},
                       {"width", width - 1},
                       {"height", height - 1},
                       {"rx", 10.0},
                       {"fill", "#ffffff"},
                       {"stroke", palette::edge}});
  draw_label(out, page_margin, 38, "start", title, 19, palette::ink, width - 2 * page_margin);
  draw_label(out, page_margin, 59, "start", summary, 13, palette::soft_ink, width - 2 * page_margin);
}

}  // namespace athanor::plot
