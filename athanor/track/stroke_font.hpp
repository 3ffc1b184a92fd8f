// SPDX-License-Identifier: Apache-2.0
// A typeface of our own for pictures that are made of pixels: letters as strokes of a pen, for any size.
#pragma once

#include <string_view>
#include <vector>

namespace athanor::draw {

/// A point in pixels; y goes down.
struct Place {
  double x = 0;
  double y = 0;
};

/// A text as lines to be drawn with a round pen.
struct PenStrokes {
  std::vector<std::vector<Place>> lines{};  ///< Relative to the left end of the baseline; one point is a dot.
  double width = 0;                         ///< Of the whole text, without what lies between it and the next.
  double pen = 1;                           ///< How thick the pen is.
};

/// The text (UTF-8) in a size as of other typefaces: capitals are 0.72 of it. Stems and horizontal strokes lie on the
/// grid of pixels, so that they are sharp; `x` is where in its pixel the text will begin, 0 when on the grid. It has
/// ASCII, the letters of Latin-1 and a few signs; other characters are a box.
[[nodiscard]] PenStrokes pen_strokes(std::string_view text, double size, bool bold = false);

}  // namespace athanor::draw
