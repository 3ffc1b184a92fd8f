// SPDX-License-Identifier: Apache-2.0
// Axes of a figure.
#pragma once

#include <string>

#include "athanor/track/axis.hpp"
#include "athanor/track/figure.hpp"
#include "athanor/track/panel.hpp"

namespace athanor::draw {

/// Lines of the grid, ticks with their labels left of and below the area, and the names of both axes.
void draw_axes(Figure& figure, const plot::Area& area, const plot::Axis& across, const plot::Axis& up,
               const std::string& across_name, const std::string& up_name = {});

/// An axis from `low` to `high`, whose ends are the ticks furthest out.
[[nodiscard]] plot::Axis axis_between(double low, double high, int count);

}  // namespace athanor::draw
