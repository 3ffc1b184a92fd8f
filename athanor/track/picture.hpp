// SPDX-License-Identifier: Apache-2.0
// The frame that all pictures share: page, title, a line below it.
#pragma once

#include <string>

#include "athanor/track/svg.hpp"

namespace athanor::plot {

constexpr double page_margin = 24;
constexpr double header_height = 80;
constexpr double panel_gap = 28;
constexpr const char* font_family =
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'DejaVu Sans', sans-serif";

/// Opens the document, which `Writer::finish` closes, and draws what lies above the panels.
void open_picture(svg::Writer& out, double width, double height, const std::string& title, const std::string& summary);

}  // namespace athanor::plot
