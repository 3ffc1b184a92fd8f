// SPDX-License-Identifier: Apache-2.0
// Figures: what is drawn where, pixel by pixel, and documents that parse.
#include "athanor/track/figure.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include <filesystem>

#include "athanor/track/canvas.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/figures.hpp"

namespace athanor::testing::figure_test {
namespace {

using ::testing::HasSubstr;

constexpr draw::Colour red{200, 10, 20};
constexpr draw::Colour blue{0, 40, 250};

TEST(Figure, BoxesCoverTheirPixelsExactlyAndHalfOfThoseThatTheyHalfCover) {
  draw::Canvas canvas(20, 10, {255, 255, 255});
  canvas.fill_box(2, 3, 4.5, 2, 0, red);
  const at::Tensor pixels = canvas.pixels();
  for (int64_t y = 0; y < 10; ++y) {
    for (int64_t x = 0; x < 20; ++x) {
      const bool row = y >= 3 && y < 5;
      Rgb expected{255, 255, 255};
      if (row && x >= 2 && x < 6) expected = rgb_of(red);
      // 255 + (200 - 255) / 2 = 227.5 and so on, rounded.
      if (row && x == 6) expected = {228, 133, 138};
      EXPECT_EQ(pixel_at(pixels, x, y), expected) << x << ", " << y;
    }
  }
}

TEST(Figure, CirclesHaveTheirArea) {
  draw::Canvas canvas(60, 60, {0, 0, 0});
  canvas.fill_circle(30.3, 29.6, 20, {255, 255, 255});
  const double area = canvas.pixels()[0].to(at::kDouble).div(255).sum().item<double>();
  // The coverage of a pixel on the edge is off by 0.09 at most where the edge is oblique, to both sides.
  EXPECT_NEAR(area, M_PI * 400, 0.01 * M_PI * 400);
}

TEST(Figure, PolygonsHaveTheirAreaAndHoles) {
  draw::Canvas canvas(40, 40, {0, 0, 0});
  // A square of 30 with a square of 10 in it, walked through a seam of no width.
  canvas.fill_polygon({{5, 5}, {35, 5}, {35, 35}, {5, 35}, {5, 5}, {15, 15}, {15, 25}, {25, 25}, {25, 15}, {15, 15}},
                      {255, 255, 255});
  const at::Tensor pixels = canvas.pixels();
  EXPECT_EQ(pixels[0].gt(127).sum().item<int64_t>(), 30 * 30 - 10 * 10);
  EXPECT_EQ(pixel_at(pixels, 20, 20), (Rgb{0, 0, 0}));
  EXPECT_EQ(pixel_at(pixels, 10, 10), (Rgb{255, 255, 255}));
}

TEST(Figure, LinesThatCrossAreNotDarkerThere) {
  draw::Canvas canvas(21, 21, {255, 255, 255});
  canvas.stroke({{{0, 10.5}, {21, 10.5}}, {{10.5, 0}, {10.5, 21}}}, 1, blue.with_alpha(0.5));
  const at::Tensor pixels = canvas.pixels();
  EXPECT_EQ(pixel_at(pixels, 10, 10), pixel_at(pixels, 3, 10));
  EXPECT_EQ(pixel_at(pixels, 10, 10), pixel_at(pixels, 10, 3));
  EXPECT_NE(pixel_at(pixels, 10, 10), (Rgb{255, 255, 255}));
}

TEST(Figure, EnlargedPicturesAreSquaresAndReducedOnesMeans) {
  const at::Tensor two = at::tensor({0, 100, 200, 50}, at::kByte).view({1, 2, 2}).expand({3, 2, 2}).contiguous();
  draw::Canvas canvas(20, 12, {255, 255, 255});
  canvas.paste(1, 2, 8, 8, two);
  canvas.paste(12, 2, 1, 1, two);
  const at::Tensor pixels = canvas.pixels();
  for (int64_t y = 0; y < 8; ++y) {
    for (int64_t x = 0; x < 8; ++x) {
      const int expected = y < 4 ? (x < 4 ? 0 : 100) : (x < 4 ? 200 : 50);
      EXPECT_EQ(pixel_at(pixels, x + 1, y + 2), (Rgb{expected, expected, expected})) << x << ", " << y;
    }
  }
  EXPECT_EQ(pixel_at(pixels, 12, 2), (Rgb{88, 88, 88}));  // (0 + 100 + 200 + 50) / 4 = 87.5
}

TEST(Figure, EveryCharacterHasAGlyphOfItsOwn) {
  std::vector<std::string> drawn;
  for (char c = '!'; c <= '~'; ++c) {
    const draw::PenStrokes strokes = draw::pen_strokes(std::string(1, c), 14);
    EXPECT_FALSE(strokes.lines.empty()) << c;
    std::string key = std::to_string(strokes.width);
    for (const auto& line : strokes.lines) {
      key += ";";
      for (const draw::Place& place : line) {
        key += std::to_string(place.x) + "," + std::to_string(place.y) + " ";
        EXPECT_GE(place.x, -0.01) << c;
        EXPECT_LE(place.x, strokes.width + 0.01) << c;
        EXPECT_GE(place.y, -14) << c;
        EXPECT_LE(place.y, 5) << c;
      }
    }
    for (const std::string& other : drawn) EXPECT_NE(key, other) << c;
    drawn.push_back(key);
  }
  const auto lines = [](const char* text) { return draw::pen_strokes(text, 14).lines.size(); };
  EXPECT_EQ(lines("ä"), lines("a") + 2);
  EXPECT_EQ(lines("\xff"), lines("漢")) << "a box for what there is no glyph for";
  EXPECT_EQ(draw::pen_strokes("", 14).lines.size(), 0u);
  EXPECT_EQ(draw::pen_strokes("0", 14).width, draw::pen_strokes("7", 14).width) << "digits are as wide as each other";
}

TEST(Figure, StemsOfLettersAreSharp) {
  draw::Canvas canvas(30, 30, {255, 255, 255});
  canvas.write(5, 20, "start", "l", 12, false, {0, 0, 0});
  const at::Tensor dark = canvas.pixels()[0].eq(0);
  // One column of the height of a capital, 0.72 * 12 = 8.6, and the round end of the pen.
  EXPECT_EQ(dark.any(0).sum().item<int64_t>(), 1);
  EXPECT_GE(dark.sum().item<int64_t>(), 8);
  EXPECT_LE(dark.sum().item<int64_t>(), 10);
}

Figure everything(Theme theme) {
  Figure figure(300, 200, "größe <b> & \"c\" \x01\xff", "a line · of words", theme);
  figure.add(draw::Box{.x = 100, .y = 100, .width = 20, .height = 10, .fill = red});
  figure.add(draw::Box{.x = 130, .y = 100, .width = 20, .height = 10, .radius = 3, .edge = blue, .pen = 2});
  figure.add(draw::Circle{.x = 170, .y = 105, .radius = 8, .fill = red, .edge = blue, .pen = 2});
  figure.add(draw::Polygon{.corners = {{200, 100}, {220, 100}, {210, 115}}, .fill = blue.with_alpha(0.5)});
  figure.add(draw::Stroke{.places = {{20, 150}, {280, 150}}, .pen = 2, .colour = red, .dashed = true});
  figure.add(draw::Text{.x = 20, .y = 180, .text = "turned", .colour = red, .turn = -45});
  figure.add(draw::Pixels{.x = 60,
                          .y = 100,
                          .width = 16,
                          .height = 16,
                          .pixels = at::zeros({3, 4, 4}, at::TensorOptions().dtype(at::kByte))});
  return figure;
}

TEST(Figure, PixelsAndPngAgreeAsPythonReadsThem) {
  const Figure figure = everything(Theme::light);
  const TemporaryFolder folder;
  const auto path = folder.path() / "figure.png";
  figure.save(path, 2);
  const PythonOutput output = run_python("understanding_peer.py png " + path.string() + " 205,205 219,219 130,210 2,2");
  ASSERT_EQ(output.status, 0) << output.text;
  EXPECT_EQ(output.text, "600 400\n200 10 20\n200 10 20\n0 0 0\n255 255 255\n");
  const at::Tensor pixels = figure.pixels(2);
  EXPECT_EQ(pixel_at(pixels, 205, 205), rgb_of(red));
  EXPECT_EQ(pixels.size(1), 400);
  EXPECT_EQ(pixels.size(2), 600);
  const at::Tensor dark = everything(Theme::dark).pixels(1);
  EXPECT_EQ(pixel_at(dark, 290, 190), rgb_of(draw::colours_of(Theme::dark).page));
  EXPECT_LT(draw::colours_of(Theme::dark).page.lightness(), 0.15);
}

TEST(Figure, SvgIsWellFormedAndEscaped) {
  EXPECT_EQ(problem_of_svg({everything(Theme::light), everything(Theme::dark)}), "");
  const std::string svg = everything(Theme::light).svg();
  EXPECT_THAT(svg, HasSubstr("größe &lt;b&gt; &amp; &quot;c&quot;"));
  EXPECT_THAT(svg, HasSubstr("fill=\"#c80a14\""));
  EXPECT_THAT(svg, HasSubstr("data:image/png;base64,iVBORw0KGgo"));
  EXPECT_THAT(svg, HasSubstr("rotate(-45 20 180)"));
}

TEST(Figure, ThemesHaveContrast) {
  // WCAG 2: 4.5 for text, 3 for graphics; relative luminance by its formula.
  const auto luminance = [](const draw::Colour& colour) {
    const auto channel = [](uint8_t value) {
      const double share = value / 255.0;
      return share <= 0.04045 ? share / 12.92 : std::pow((share + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * channel(colour.red) + 0.7152 * channel(colour.green) + 0.0722 * channel(colour.blue);
  };
  const auto contrast = [&](const draw::Colour& a, const draw::Colour& b) {
    const double x = luminance(a), y = luminance(b);
    return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
  };
  for (const Theme theme : {Theme::light, Theme::dark}) {
    const draw::ThemeColours& colours = draw::colours_of(theme);
    EXPECT_GE(contrast(colours.ink, colours.page), 4.5);
    EXPECT_GE(contrast(colours.soft_ink, colours.page), 4.5);
    EXPECT_GE(contrast(colours.alarm, colours.page), 4.5);
    for (size_t i = 0; i < draw::class_colour_count; ++i) {
      EXPECT_GE(contrast(draw::class_colour(theme, i), colours.page), 3) << i;
    }
  }
}

TEST(Figure, RefusesOtherFormatsAndScales) {
  const Figure figure = everything(Theme::light);
  const auto format = error_of([&] {
    figure.save("/tmp/figure.jpg");
    return 0;
  });
  EXPECT_EQ(format.what, "a figure can't be written in this format");
  EXPECT_THAT(format.expected, HasSubstr(".svg or .png"));
  EXPECT_EQ(error_of([&] { return figure.pixels(0); }).got, "0");
  EXPECT_EQ(error_of([&] { return figure.pixels(NAN); }).what, "a figure can't be drawn at this scale");
}

}  // namespace
}  // namespace athanor::testing::figure_test
