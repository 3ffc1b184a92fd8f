// SPDX-License-Identifier: Apache-2.0
// A figure: drawn once, written as SVG or as pixels.
//
//     athanor::Figure figure = athanor::confusion_figure(table);
//     figure.save("confusion.svg");
//     trainer.record("confusion", athanor::events::Image{figure.pixels()});
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "athanor/track/stroke_font.hpp"
#include "athanor/track/theme.hpp"

namespace athanor {

namespace draw {

/// Parts of a figure; lengths in pixels of a figure that is shown at its own size.
struct Box {
  double x = 0, y = 0, width = 0, height = 0;
  double radius = 0;
  Colour fill = {0, 0, 0, 0};
  Colour edge = {0, 0, 0, 0};
  double pen = 1;
};
struct Circle {
  double x = 0, y = 0, radius = 0;
  Colour fill = {};
  Colour edge = {0, 0, 0, 0};
  double pen = 1;
};
struct Polygon {
  std::vector<Place> corners{};
  Colour fill = {};
};
struct Stroke {
  std::vector<Place> places{};
  double pen = 1;
  Colour colour = {};
  bool dashed = false;
};
struct Text {
  double x = 0, y = 0;  ///< `y` is the baseline.
  const char* anchor = "start";
  std::string text = {};
  double size = 12;
  Colour colour = {};
  bool bold = false;
  double turn = 0;  ///< Degrees clockwise around (x, y).
};
/// uint8 (3, H, W) or (4, H, W), on the CPU.
struct Pixels {
  double x = 0, y = 0, width = 0, height = 0;
  at::Tensor pixels = {};
};
using Part = std::variant<Box, Circle, Polygon, Stroke, Text, Pixels>;

}  // namespace draw

/// A list of parts on a page, from the back to the front. A value; copies share the pixels of pictures in it.
class Figure {
 public:
  /// A page with an edge, the title and a line below it. `title` is what a screen reader says, too.
  Figure(double width, double height, std::string title, std::string summary = {}, Theme theme = Theme::light);

  void add(draw::Part part);

  [[nodiscard]] double width() const noexcept { return width_; }
  [[nodiscard]] double height() const noexcept { return height_; }
  [[nodiscard]] Theme theme() const noexcept { return theme_; }
  [[nodiscard]] const std::string& title() const noexcept { return title_; }
  [[nodiscard]] const std::string& summary() const noexcept { return summary_; }
  [[nodiscard]] const std::vector<draw::Part>& parts() const noexcept { return parts_; }

  /// A document of its own; pictures in it are embedded.
  [[nodiscard]] std::string svg() const;
  /// uint8 (3, H, W) on the CPU, `scale` pixels for each of the figure. Text is drawn with letters of our own. Throws
  /// Error for a scale that is not from 0.1 to 8.
  [[nodiscard]] at::Tensor pixels(double scale = 2) const;
  /// Writes SVG or PNG, as the name ends, atomically. Throws Error for another ending, and when it can't be written.
  void save(const std::filesystem::path& path, double scale = 2) const;

 private:
  double width_;
  double height_;
  std::string title_;
  std::string summary_;
  Theme theme_;
  std::vector<draw::Part> parts_;
};

namespace draw {
/// A line of text that is shortened to that width.
[[nodiscard]] Text label(double x, double y, const char* anchor, const std::string& text, double size,
                         const Colour& colour, double width, bool bold = false);
}  // namespace draw

}  // namespace athanor
