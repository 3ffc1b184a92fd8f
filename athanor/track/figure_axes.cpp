// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/figure_axes.hpp"

#include <cmath>

#include "athanor/core/text.hpp"

namespace athanor::draw {

void draw_axes(Figure& figure, const plot::Area& area, const plot::Axis& across, const plot::Axis& up,
               const std::string& across_name, const std::string& up_name) {
  const ThemeColours& colours = colours_of(figure.theme());
  for (size_t i = 0; i < up.ticks.size(); ++i) {
    const double y = area.bottom() - up.place(up.ticks[i]) * area.height;
    figure.add(Stroke{.places = {{area.left, y}, {area.right(), y}}, .colour = colours.grid});
    figure.add(label(area.left - 8, y + 4, "end", up.labels[i], 11.5, colours.soft_ink, plot::room_left + 20));
  }
  figure.add(Stroke{.places = {{area.left, area.bottom()}, {area.right(), area.bottom()}}, .colour = colours.axis});
  for (size_t i = 0; i < across.ticks.size(); ++i) {
    const double x = area.left + across.place(across.ticks[i]) * area.width;
    figure.add(Stroke{.places = {{x, area.bottom()}, {x, area.bottom() + 5}}, .colour = colours.axis});
    figure.add(label(x, area.bottom() + 19, "middle", across.labels[i], 11.5, colours.soft_ink, area.width));
  }
  figure.add(
      label(area.left + area.width / 2, area.bottom() + 36, "middle", across_name, 11.5, colours.soft_ink, area.width));
  figure.add(label(area.left - plot::room_left, area.top - 12, "start", up_name, 11.5, colours.soft_ink, area.width));
}

plot::Axis axis_between(double low, double high, int count) {
  plot::Axis axis{.low = low, .high = high};
  for (int i = 0; i <= count; ++i) {
    axis.ticks.push_back(low + (high - low) * i / count);
    axis.labels.push_back(shortest(std::round(axis.ticks.back() * 1e6) / 1e6));
  }
  return axis;
}

}  // namespace athanor::draw
