// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/figure.hpp"

#include <cmath>
#include <cstdint>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/canvas.hpp"
#include "athanor/track/picture.hpp"
#include "athanor/track/png.hpp"
#include "athanor/track/svg.hpp"

namespace athanor {
namespace {

std::string base64(std::string_view bytes) {
  constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t j = 0; j < 3; ++j) {
      three = three << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) text += i + j <= bytes.size() ? digits[three >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::string path_of(const std::vector<draw::Place>& places) {
  std::string path;
  for (size_t i = 0; i < places.size(); ++i) {
    path += (i == 0 ? "M" : "L") + svg::number(places[i].x) + " " + svg::number(places[i].y);
  }
  return path;
}

/// Writes each part as an element.
struct SvgPen {
  svg::Writer& out;

  static std::string paint(const draw::Colour& colour) { return colour.alpha > 0 ? colour.hex() : "none"; }

  void operator()(const draw::Box& box) const {
    out.element("rect", {{"x", box.x},
                         {"y", box.y},
                         {"width", box.width},
                         {"height", box.height},
                         {"rx", box.radius},
                         {"fill", paint(box.fill)},
                         {"fill-opacity", box.fill.alpha},
                         {"stroke", paint(box.edge)},
                         {"stroke-width", box.pen}});
  }
  void operator()(const draw::Circle& circle) const {
    out.element("circle", {{"cx", circle.x},
                           {"cy", circle.y},
                           {"r", circle.radius},
                           {"fill", paint(circle.fill)},
                           {"fill-opacity", circle.fill.alpha},
                           {"stroke", paint(circle.edge)},
                           {"stroke-width", circle.pen}});
  }
  void operator()(const draw::Polygon& polygon) const {
    out.element("path", {{"d", path_of(polygon.corners) + "Z"},
                         {"fill", paint(polygon.fill)},
                         {"fill-opacity", polygon.fill.alpha},
                         {"fill-rule", "evenodd"}});
  }
  void operator()(const draw::Stroke& stroke) const {
    out.element("path", {{"d", path_of(stroke.places)},
                         {"fill", "none"},
                         {"stroke", paint(stroke.colour)},
                         {"stroke-opacity", stroke.colour.alpha},
                         {"stroke-width", stroke.pen},
                         {"stroke-linejoin", "round"},
                         {"stroke-linecap", "round"},
                         {"stroke-dasharray", stroke.dashed ? "5 5" : "none"}});
  }
  void operator()(const draw::Text& text) const {
    const std::string turn = "rotate(" + svg::number(text.turn) + " " + svg::number(text.x) + " " + svg::number(text.y);
    out.text("text",
             {{"x", text.x},
              {"y", text.y},
              {"text-anchor", text.anchor},
              {"font-size", text.size},
              {"font-weight", text.bold ? "600" : "400"},
              {"fill", paint(text.colour)},
              {"transform", text.turn == 0 ? std::string("none") : turn + ")"}},
             text.text);
  }
  void operator()(const draw::Pixels& picture) const {
    const bool enlarged = picture.width >= static_cast<double>(picture.pixels.size(2));
    out.element("image", {{"x", picture.x},
                          {"y", picture.y},
                          {"width", picture.width},
                          {"height", picture.height},
                          {"preserveAspectRatio", "none"},
                          {"image-rendering", enlarged ? "pixelated" : "auto"},
                          {"href", "data:image/png;base64," + base64(track::encode_png(picture.pixels).bytes)}});
  }
};

/// Draws each part on a canvas.
struct CanvasPen {
  draw::Canvas& canvas;
  double scale;

  [[nodiscard]] std::vector<draw::Place> scaled(const std::vector<draw::Place>& places) const {
    std::vector<draw::Place> result;
    result.reserve(places.size());
    for (const draw::Place& place : places) result.push_back({place.x * scale, place.y * scale});
    return result;
  }
  void operator()(const draw::Box& box) const {
    if (box.fill.alpha > 0) {
      canvas.fill_box(box.x * scale, box.y * scale, box.width * scale, box.height * scale, box.radius * scale,
                      box.fill);
    }
    if (box.edge.alpha > 0) {
      canvas.stroke_box(box.x * scale, box.y * scale, box.width * scale, box.height * scale, box.radius * scale,
                        box.pen * scale, box.edge);
    }
  }
  void operator()(const draw::Circle& circle) const {
    const double edge = circle.edge.alpha > 0 ? circle.pen / 2 : 0;
    if (edge > 0) {
      canvas.fill_circle(circle.x * scale, circle.y * scale, (circle.radius + edge) * scale, circle.edge);
    }
    canvas.fill_circle(circle.x * scale, circle.y * scale, (circle.radius - edge) * scale, circle.fill);
  }
  void operator()(const draw::Polygon& polygon) const { canvas.fill_polygon(scaled(polygon.corners), polygon.fill); }
  void operator()(const draw::Stroke& stroke) const {
    const auto places = scaled(stroke.places);
    canvas.stroke(stroke.dashed ? dashes(places) : std::vector<std::vector<draw::Place>>{places}, stroke.pen * scale,
                  stroke.colour);
  }
  void operator()(const draw::Text& text) const {
    canvas.write(text.x * scale, text.y * scale, text.anchor, text.text, text.size * scale, text.bold, text.colour,
                 text.turn);
  }
  void operator()(const draw::Pixels& picture) const {
    canvas.paste(picture.x * scale, picture.y * scale, picture.width * scale, picture.height * scale, picture.pixels);
  }

  [[nodiscard]] std::vector<std::vector<draw::Place>> dashes(const std::vector<draw::Place>& places) const {
    const double length = 5 * scale;
    std::vector<std::vector<draw::Place>> result;
    double walked = 0;
    for (size_t i = 1; i < places.size(); ++i) {
      const double whole = std::hypot(places[i].x - places[i - 1].x, places[i].y - places[i - 1].y);
      for (double at = 0; at < whole;) {
        const double in_period = std::fmod(walked, 2 * length);
        const bool drawn = in_period < length;
        const double next = std::min(whole, at + (drawn ? length : 2 * length) - in_period + 1e-6);
        if (drawn) {
          const auto place = [&](double along) {
            return draw::Place{places[i - 1].x + along / whole * (places[i].x - places[i - 1].x),
                               places[i - 1].y + along / whole * (places[i].y - places[i - 1].y)};
          };
          result.push_back({place(at), place(next)});
        }
        walked += next - at;
        at = next;
      }
    }
    return result;
  }
};

}  // namespace

Figure::Figure(double width, double height, std::string title, std::string summary, Theme theme)
    : width_(std::ceil(width)),
      height_(std::ceil(height)),
      title_(std::move(title)),
      summary_(std::move(summary)),
      theme_(theme) {
  const draw::ThemeColours& colours = draw::colours_of(theme);
  add(draw::Box{
      .x = 0.5, .y = 0.5, .width = width_ - 1, .height = height_ - 1, .fill = colours.page, .edge = colours.edge});
  const double room = width_ - 2 * plot::page_margin;
  add(draw::label(plot::page_margin, 38, "start", title_, 19, colours.ink, room, true));
  add(draw::label(plot::page_margin, 59, "start", summary_, 13, colours.soft_ink, room));
}

void Figure::add(draw::Part part) { parts_.push_back(std::move(part)); }

std::string Figure::svg() const {
  svg::Writer out;
  out.open("svg", {{"xmlns", "http://www.w3.org/2000/svg"},
                   {"width", width_},
                   {"height", height_},
                   {"viewBox", "0 0 " + svg::number(width_) + " " + svg::number(height_)},
                   {"role", "img"},
                   {"font-family", plot::font_family},
                   {"style", "font-variant-numeric: tabular-nums"}});
  out.text("title", {}, title_);
  out.text("desc", {}, summary_);
  for (const draw::Part& part : parts_) std::visit(SvgPen{out}, part);
  return out.finish();
}

at::Tensor Figure::pixels(double scale) const {
  if (!(scale >= 0.1 && scale <= 8)) {
    throw Error({.what = "a figure can't be drawn at this scale",
                 .where = "Figure::pixels",
                 .got = shortest(scale),
                 .expected = "0.1 to 8 pixels for each of the figure"});
  }
  draw::Canvas canvas(std::lround(width_ * scale), std::lround(height_ * scale), draw::colours_of(theme_).page);
  for (const draw::Part& part : parts_) std::visit(CanvasPen{canvas, scale}, part);
  return canvas.pixels();
}

void Figure::save(const std::filesystem::path& path, double scale) const {
  if (path.extension() == ".svg") {
    write_file_atomically(path, svg());
  } else if (path.extension() == ".png") {
    write_file_atomically(path, track::encode_png(pixels(scale)).bytes);
  } else {
    throw Error({.what = "a figure can't be written in this format",
                 .where = "Figure::save",
                 .got = path.string(),
                 .expected = "a name that ends in .svg or .png"});
  }
}

draw::Text draw::label(double x, double y, const char* anchor, const std::string& text, double size,
                       const Colour& colour, double width, bool bold) {
  return {.x = x,
          .y = y,
          .anchor = anchor,
          .text = svg::shorten(text, size, width),
          .size = size,
          .colour = colour,
          .bold = bold};
}

}  // namespace athanor
