// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/theme.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <span>

namespace athanor::draw {
namespace {

constexpr Colour of_hex(uint32_t value) noexcept {
  return {static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

constexpr ThemeColours light_colours{.page = of_hex(0xffffff),
                                     .ink = of_hex(0x1b2430),
                                     .soft_ink = of_hex(0x5b6675),
                                     .axis = of_hex(0xaab3bf),
                                     .grid = of_hex(0xe6e9ee),
                                     .edge = of_hex(0xd5dae1),
                                     .strong = of_hex(0x0b5fb0),
                                     .weak = of_hex(0xc9d2de),
                                     .alarm = of_hex(0xc2410c)};
constexpr ThemeColours dark_colours{.page = of_hex(0x14181f),
                                    .ink = of_hex(0xe9edf2),
                                    .soft_ink = of_hex(0xa0abb9),
                                    .axis = of_hex(0x5a6675),
                                    .grid = of_hex(0x272e38),
                                    .edge = of_hex(0x333d49),
                                    .strong = of_hex(0x67aef2),
                                    .weak = of_hex(0x46525f),
                                    .alarm = of_hex(0xf58d4a)};

// Dark enough on white, and light enough on the dark page; neighbours differ in lightness as well.
constexpr std::array<Colour, class_colour_count> light_classes{
    of_hex(0x0b5fb0), of_hex(0xd9730d), of_hex(0x0f8a5f), of_hex(0x7e3fb5), of_hex(0xc81e4a),
    of_hex(0x7a5200), of_hex(0x0e97b5), of_hex(0xd05cb0), of_hex(0x475569), of_hex(0x7a9a01)};
constexpr std::array<Colour, class_colour_count> dark_classes{
    of_hex(0x67aef2), of_hex(0xf7a04b), of_hex(0x4cc796), of_hex(0xb98bf0), of_hex(0xf2718f),
    of_hex(0xc9a253), of_hex(0x52d3ec), of_hex(0xf09bd6), of_hex(0xa3b1c2), of_hex(0xc0d957)};

constexpr std::array<Colour, 6> heat_stops{of_hex(0x05040f), of_hex(0x3c1266), of_hex(0x8f2480),
                                           of_hex(0xdb4a5b), of_hex(0xf99a3e), of_hex(0xfcf6b5)};
constexpr std::array<Colour, 5> light_diverging{of_hex(0x0a4a94), of_hex(0x6ba3d8), of_hex(0xffffff), of_hex(0xe58a62),
                                                of_hex(0xa3230f)};
constexpr std::array<Colour, 5> dark_diverging{of_hex(0x9fd0ff), of_hex(0x3b7fc4), of_hex(0x14181f), of_hex(0xc4562f),
                                               of_hex(0xffb48a)};

Colour between_stops(std::span<const Colour> stops, double value) noexcept {
  const double place = std::clamp(value, 0.0, 1.0) * static_cast<double>(stops.size() - 1);
  const auto first = std::min(static_cast<size_t>(place), stops.size() - 2);
  return mix_colours(stops[first], stops[first + 1], place - static_cast<double>(first));
}

}  // namespace

std::string Colour::hex() const {
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", red, green, blue);
  return text;
}

double Colour::lightness() const noexcept { return (0.299 * red + 0.587 * green + 0.114 * blue) / 255; }

Colour mix_colours(const Colour& from, const Colour& to, double share) noexcept {
  const auto channel = [&](uint8_t a, uint8_t b) {
    return static_cast<uint8_t>(std::lround(a + (static_cast<double>(b) - a) * share));
  };
  return {channel(from.red, to.red), channel(from.green, to.green), channel(from.blue, to.blue),
          from.alpha + (to.alpha - from.alpha) * share};
}

const ThemeColours& colours_of(Theme theme) noexcept { return theme == Theme::dark ? dark_colours : light_colours; }

Colour class_colour(Theme theme, size_t number) noexcept {
  return (theme == Theme::dark ? dark_classes : light_classes)[number % class_colour_count];
}

Colour sequential_colour(Theme theme, double value) noexcept {
  const ThemeColours& colours = colours_of(theme);
  if (!(value > 0)) return colours.page;
  return mix_colours(colours.page, colours.strong, std::min(value, 1.0));
}

Colour heat_colour(double value) noexcept {
  if (std::isnan(value)) return of_hex(0);
  return between_stops(heat_stops, value);
}

Colour diverging_colour(Theme theme, double value) noexcept {
  const double place = std::isnan(value) ? 0.5 : (value + 1) / 2;
  return between_stops(theme == Theme::dark ? std::span<const Colour>(dark_diverging) : light_diverging, place);
}

}  // namespace athanor::draw
