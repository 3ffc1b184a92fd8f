// SPDX-License-Identifier: Apache-2.0
// Colours of figures: on a white page and on a dark one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace athanor {

/// What a figure is looked at on. Unlike the curves of a run, which have a white page of their own, a figure is drawn
/// for one of the two.
enum class Theme { light, dark };

namespace draw {

struct Colour {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
  double alpha = 1;  ///< 0: nothing of it is seen.

  [[nodiscard]] Colour with_alpha(double value) const noexcept { return {red, green, blue, value}; }
  /// `#1b2430`, without alpha.
  [[nodiscard]] std::string hex() const;
  /// How bright it looks, 0 … 1.
  [[nodiscard]] double lightness() const noexcept;
  friend bool operator==(const Colour&, const Colour&) = default;
};

/// `share` of `to` over `from`, 0 … 1.
[[nodiscard]] Colour mix_colours(const Colour& from, const Colour& to, double share) noexcept;

/// What the parts of a figure are drawn with.
struct ThemeColours {
  Colour page;
  Colour ink;       ///< Headings and numbers.
  Colour soft_ink;  ///< Everything that is read second.
  Colour axis;
  Colour grid;
  Colour edge;
  Colour strong;  ///< What a figure is about.
  Colour weak;    ///< What stands behind it.
  Colour alarm;   ///< What is wrong.
};
[[nodiscard]] const ThemeColours& colours_of(Theme theme) noexcept;

/// The colour of class `number`; they repeat after `class_colour_count`.
constexpr size_t class_colour_count = 10;
[[nodiscard]] Colour class_colour(Theme theme, size_t number) noexcept;

/// From the page to `strong` for 0 … 1; NaN is the page.
[[nodiscard]] Colour sequential_colour(Theme theme, double value) noexcept;
/// From dark violet over red to pale yellow for 0 … 1, the same in both themes; NaN is black.
[[nodiscard]] Colour heat_colour(double value) noexcept;
/// Blue for -1, the middle for 0, red for 1; NaN is the middle. The middle is white, or nearly black on a dark page.
[[nodiscard]] Colour diverging_colour(Theme theme, double value) noexcept;

}  // namespace draw
}  // namespace athanor
