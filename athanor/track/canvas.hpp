// SPDX-License-Identifier: Apache-2.0
// A picture of pixels that is drawn on, with soft edges.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "athanor/track/stroke_font.hpp"
#include "athanor/track/theme.hpp"

namespace athanor::draw {

/// Places and lengths are pixels; (0, 0) is the upper left corner of the upper left pixel. What lies outside is cut
/// off. Not thread-safe.
class Canvas {
 public:
  Canvas(int64_t width, int64_t height, const Colour& page);

  void fill_box(double x, double y, double width, double height, double radius, const Colour& colour);
  void stroke_box(double x, double y, double width, double height, double radius, double pen, const Colour& colour);
  void fill_circle(double x, double y, double radius, const Colour& colour);
  /// By the even-odd rule.
  void fill_polygon(const std::vector<Place>& corners, const Colour& colour);
  /// Lines that are drawn as one: where they cross, the colour is not laid on twice. A line of one place is a dot.
  void stroke(const std::vector<std::vector<Place>>& lines, double pen, const Colour& colour);
  /// `anchor` is `start`, `middle` or `end`; `turn` is in degrees, clockwise around that place.
  void write(double x, double baseline, std::string_view anchor, std::string_view text, double size, bool bold,
             const Colour& colour, double turn = 0);
  /// Pixels uint8 (3, H, W) or (4, H, W) on the CPU. Enlarged they are squares, reduced they are means.
  void paste(double x, double y, double width, double height, const at::Tensor& pixels);

  /// uint8 (3, H, W), a copy.
  [[nodiscard]] at::Tensor pixels() const;

 private:
  void blend(int64_t x, int64_t y, const Colour& colour, double coverage);
  /// Blends what `coverage(x, y)` says for the centres of the pixels in the box.
  template <class Coverage>
  void cover(double left, double top, double right, double bottom, const Colour& colour, const Coverage& coverage);

  int64_t width_;
  int64_t height_;
  std::vector<float> rgb_;  // (H, W, 3), 0 … 255
};

}  // namespace athanor::draw
