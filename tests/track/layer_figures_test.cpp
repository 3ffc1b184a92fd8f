// SPDX-License-Identifier: Apache-2.0
// Filters, activations and histograms as pictures.
#include "athanor/track/layer_figures.hpp"

#include <gmock/gmock.h>
#include <torch/torch.h>

#include "tests/core/error_of.hpp"
#include "tests/track/figures.hpp"

namespace athanor::testing::layer_figures_test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(FilterFigure, ColourFiltersAreGreyAtZeroAndSignedOnesBlueAndRed) {
  torch::Tensor colours = torch::zeros({2, 3, 4, 4});
  colours[0][0][1][2] = 0.5;
  colours[1][2][0][0] = -0.25;
  const auto tiles = parts_of<draw::Pixels>(filter_figure(colours));
  ASSERT_EQ(tiles.size(), 2u);
  EXPECT_EQ(pixel_at(tiles[0].pixels, 2, 1), (Rgb{255, 128, 128}));
  EXPECT_EQ(pixel_at(tiles[1].pixels, 0, 0), (Rgb{128, 128, 64})) << "half of the greatest magnitude";
  EXPECT_EQ(pixel_at(tiles[1].pixels, 3, 3), (Rgb{128, 128, 128}));

  torch::Tensor grey = torch::zeros({3, 1, 2, 2});
  grey[0][0][0][0] = 2;
  grey[1][0][1][1] = -1;
  const Figure figure = filter_figure(grey);
  const auto planes = parts_of<draw::Pixels>(figure);
  ASSERT_EQ(planes.size(), 3u);
  EXPECT_EQ(pixel_at(planes[0].pixels, 0, 0), rgb_of(draw::diverging_colour(Theme::light, 1)));
  EXPECT_EQ(pixel_at(planes[1].pixels, 1, 1), rgb_of(draw::diverging_colour(Theme::light, -0.5)));
  EXPECT_EQ(pixel_at(planes[2].pixels, 0, 0), (Rgb{255, 255, 255}));
  EXPECT_THAT(figure.summary(), HasSubstr("3 filters of 1 channels · greatest magnitude 2"));
  EXPECT_EQ(parts_of<draw::Pixels>(filter_figure(torch::randn({5, 20, 3, 3}))).size(), 40u);
  EXPECT_THAT(filter_figure(torch::randn({100, 3, 3, 3}), {.most = 10}).summary(), HasSubstr("10 of 100 filters"));
  const auto matrix = parts_of<draw::Pixels>(filter_figure(torch::randn({10, 30})));
  EXPECT_EQ(matrix.at(0).pixels.sizes(), (std::vector<int64_t>{3, 10, 30}));
}

TEST(ActivationFigure, HasOneScale) {
  torch::Tensor values = torch::zeros({2, 3, 3});
  values[0][0][0] = 4;
  values[1][2][2] = 1;
  const Figure figure = activation_figure(values);
  const auto tiles = parts_of<draw::Pixels>(figure);
  EXPECT_EQ(pixel_at(tiles.at(0).pixels, 0, 0), rgb_of(draw::heat_colour(1)));
  EXPECT_EQ(pixel_at(tiles.at(1).pixels, 2, 2), rgb_of(draw::heat_colour(0.25)));
  EXPECT_THAT(figure.summary(), HasSubstr("2 channels · 0 to 4"));
  EXPECT_EQ(problem_of_svg({figure, activation_figure(torch::randn({7})), activation_figure(torch::randn({3, 9}))}),
            "");
}

TEST(LayerFigures, RefuseOtherShapesAndNan) {
  EXPECT_EQ(error_of([] { return filter_figure(torch::randn({3, 3, 3})); }).got, "float32 (3, 3, 3)");
  EXPECT_EQ(error_of([] { return activation_figure(torch::randn({1, 2, 3, 4})); }).got, "float32 (1, 2, 3, 4)");
  torch::Tensor broken = torch::randn({2, 1, 3, 3});
  broken[1][0][2][2] = INFINITY;
  EXPECT_EQ(error_of([&] { return filter_figure(broken); }).got, "1 of 18");
  EXPECT_EQ(error_of([] { return filter_figure(torch::randn({2, 1, 3, 3}), {.most = 0}); }).got, ".most = 0");
}

/// Heights of the outline of a histogram, from left to right.
std::vector<double> heights_of(const draw::Polygon& outline, double bottom) {
  std::vector<double> heights;
  for (size_t i = 1; i + 1 < outline.corners.size(); i += 2) heights.push_back(bottom - outline.corners[i].y);
  return heights;
}

TEST(HistogramFigure, WideBinsAreAsHighAsTheirDensity) {
  // 10 in [0, 1], 20 in [1, 5]: densities 10 and 5.
  const events::Histogram histogram{
      .minimum = 0, .maximum = 5, .count = 30, .sum = 65, .edges = {0, 1, 5}, .counts = {10, 20}};
  const Figure figure = histogram_figure(histogram, {.title = "w"});
  const auto outlines = parts_of<draw::Polygon>(figure);
  ASSERT_EQ(outlines.size(), 1u);
  const auto heights = heights_of(outlines[0], outlines[0].corners[0].y);
  ASSERT_EQ(heights.size(), 100u);
  for (size_t i = 0; i < 100; ++i) EXPECT_NEAR(heights[i], i < 20 ? 220 : 110, 1e-6) << i;
  EXPECT_THAT(figure.summary(), HasSubstr("30 numbers · mean 2.1667"));
  EXPECT_EQ(problem_of_svg({figure}), "");
  EXPECT_THAT(error_of([] {
                return histogram_figure({.edges = {0, 1}, .counts = {1, 2}});
              }).got,
              HasSubstr("2 edges and 2 counts"));
}

TEST(LayerStatisticsFigure, HasALineForEachTensor) {
  TensorSums sums;
  sums.add(torch::linspace(-1, 1, 1001));
  TensorSums same;
  same.add(torch::zeros({10}));
  LayerSnapshot snapshot{.step = 100, .epoch = 2, .gradient_norm = 0.5, .update_ratio = 0.001};
  snapshot.layers.push_back(
      {.name = "conv",
       .type = "Conv2d",
       .parameters = {{.name = "conv.weight", .weights = sums.result(), .gradients = sums.result()},
                      {.name = "conv.bias", .weights = same.result()}},
       .activations = {{.name = "conv:relu", .values = sums.result(), .units = 4, .dead = 3}}});
  const Figure figure = layer_statistics_figure(snapshot);
  EXPECT_EQ(parts_of<draw::Polygon>(figure).size(), 4u);
  EXPECT_THAT(texts_of(figure), Contains("conv.bias"));
  EXPECT_THAT(texts_of(figure), Contains(HasSubstr("3 dead")));
  EXPECT_THAT(figure.summary(), HasSubstr("step 100, epoch 2"));
  EXPECT_EQ(problem_of_svg({figure, layer_statistics_figure(snapshot, {.most = 1, .theme = Theme::dark})}), "");
}

}  // namespace
}  // namespace athanor::testing::layer_figures_test
