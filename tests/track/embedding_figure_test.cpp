// SPDX-License-Identifier: Apache-2.0
// Principal components beside scikit-learn and beside axes that are known, and the scatter of them.
#include "athanor/track/embedding_figure.hpp"

#include <gmock/gmock.h>
#include <torch/torch.h>

#include "tests/core/error_of.hpp"
#include "tests/track/figures.hpp"

namespace athanor::testing::embedding_figure_test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(PrincipalComponents, AreThoseOfScikitLearn) {
  std::vector<double> values;
  const std::vector<double> scale{3, 1, 2, 0.5, 0.2, 1.5};
  for (int i = 0; i < 240; ++i)
    values.push_back(std::sin(0.37 * i + 0.011 * i * i) * scale[static_cast<size_t>(i % 6)]);
  const PrincipalComponents found = principal_components(torch::tensor(values, torch::kDouble).view({40, 6}), 3);
  for (const NamedNumbers& python : python_numbers()) {
    const auto expect_near = [&](const char* name, const torch::Tensor& mine) {
      const auto& theirs = python.at(name);
      ASSERT_EQ(static_cast<int64_t>(theirs.size()), mine.numel()) << name;
      const torch::Tensor flat = mine.flatten().contiguous();
      for (size_t i = 0; i < theirs.size(); ++i) {
        // They are printed with nine digits; the largest is 5.
        EXPECT_NEAR(flat.const_data_ptr<double>()[i], theirs[i], 5e-8) << name << " " << i;
      }
    };
    expect_near("pca_points", found.points);
    expect_near("pca_components", found.components);
    expect_near("pca_variance", found.variance);
    expect_near("pca_share", found.share);
  }
}

TEST(PrincipalComponents, OfKnownAxesAreTheseAxes) {
  // Two directions at right angles, with coordinates that are centred and uncorrelated.
  const torch::Tensor along = torch::tensor({3.0, 4.0, 0.0}, torch::kDouble) / 5;
  const torch::Tensor across = torch::tensor({-4.0, 3.0, 0.0}, torch::kDouble) / 5;
  const torch::Tensor a = torch::tensor({-6.0, 6.0, -6.0, 6.0}, torch::kDouble);
  const torch::Tensor b = torch::tensor({-1.0, -1.0, 1.0, 1.0}, torch::kDouble);
  const torch::Tensor data = torch::outer(a, along) + torch::outer(b, across) + 7;
  const PrincipalComponents found = principal_components(data.to(torch::kFloat), 2);
  // The greatest entry of each is positive: -across for the second. Numbers of about 12 in float32 are rounded by 5e-7,
  // seen through a spread of 1.
  EXPECT_TRUE(torch::allclose(found.components[0], along, 0, 5e-6));
  EXPECT_TRUE(torch::allclose(found.components[1], -across, 0, 5e-6));
  EXPECT_TRUE(torch::allclose(found.points.select(1, 0), a, 0, 1e-5));
  EXPECT_TRUE(torch::allclose(found.points.select(1, 1), -b, 0, 1e-5));
  EXPECT_TRUE(torch::allclose(found.variance, torch::tensor({48.0, 4 / 3.0}, torch::kDouble), 0, 1e-4));
  EXPECT_NEAR(found.share[0].item<double>(), 36 / 37.0, 1e-6);
  EXPECT_NEAR(found.mean[2].item<double>(), 7, 1e-6);
}

TEST(PrincipalComponents, RefusesWhatHasNone) {
  EXPECT_EQ(error_of([] { return principal_components(torch::randn({5, 3}), 4); }).expected, "1 to 3");
  EXPECT_EQ(error_of([] { return principal_components(torch::randn({1, 3}), 1); }).expected, "two samples or more");
  EXPECT_EQ(error_of([] {
              return principal_components(torch::ones({4, 3}, torch::kLong));
            }).expected,
            "floating, (N, D)");
  torch::Tensor broken = torch::randn({6, 3});
  broken[4][1] = NAN;
  EXPECT_THAT(error_of([&] { return principal_components(broken); }).where, HasSubstr("sample 4"));
  EXPECT_EQ(principal_components(torch::ones({4, 3})).share.sum().item<double>(), 0) << "no variance at all";
}

TEST(Scatter, PointsLieAtTheirPlacesInTheColourOfTheirClass) {
  const torch::Tensor points = torch::tensor({{0.0, 0.0}, {10.0, 0.0}, {0.0, 10.0}, {10.0, 10.0}});
  const Figure figure = scatter_figure(points, {.classes = torch::tensor({0, 1, 2, 3}), .names = {"a", "b", "c", "d"}});
  const auto circles = parts_of<draw::Circle>(figure);
  ASSERT_EQ(circles.size(), 4u + 4u) << "and those of the legend";
  EXPECT_EQ(circles[0].y, circles[1].y);
  EXPECT_EQ(circles[0].x, circles[2].x);
  EXPECT_GT(circles[0].y, circles[2].y) << "up is up";
  EXPECT_LT(circles[0].x, circles[1].x);
  const torch::Tensor pixels = figure.pixels(2);
  for (size_t i = 0; i < 4; ++i) {
    const draw::Colour page = draw::colours_of(Theme::light).page;
    const Rgb expected = rgb_of(draw::mix_colours(page, draw::class_colour(Theme::light, i), 0.82));
    const Rgb found = pixel_at(pixels, std::lround(2 * circles[i].x), std::lround(2 * circles[i].y));
    // An axis may be seen through it: 0.18 of what it differs from the page, and two roundings.
    const Rgb paper = rgb_of(page), axis = rgb_of(draw::colours_of(Theme::light).axis);
    for (size_t channel = 0; channel < 3; ++channel) {
      EXPECT_NEAR(found[channel], expected[channel], 0.18 * std::abs(paper[channel] - axis[channel]) + 1) << i;
    }
  }
  EXPECT_THAT(texts_of(figure), Contains("d"));
}

TEST(Scatter, ManyClassesHaveShapesToo) {
  const Figure figure = embedding_figure(torch::randn({60, 5}), {.classes = torch::arange(60).remainder(30)});
  EXPECT_EQ(parts_of<draw::Circle>(figure).size(), 20u + 10u);
  EXPECT_EQ(parts_of<draw::Polygon>(figure).size(), 20u + 10u);
  EXPECT_THAT(texts_of(figure), Contains(HasSubstr("% of the variance")).Times(2));
  EXPECT_EQ(problem_of_svg({figure, embedding_figure(torch::randn({9, 4}), {.theme = Theme::dark})}), "");
}

TEST(Scatter, RefusesWhatDoesNotFit) {
  const torch::Tensor points = torch::randn({4, 2});
  EXPECT_THAT(error_of([] { return scatter_figure(torch::randn({4, 3})); }).got, HasSubstr("float32 (4, 3)"));
  EXPECT_EQ(error_of([&] { return scatter_figure(points, {.classes = torch::tensor({1})}); }).expected,
            "whole numbers (4)");
  EXPECT_EQ(error_of([&] {
              return scatter_figure(points, {.classes = torch::tensor({0, 1, 2, 0}), .names = {"a", "b"}});
            }).expected,
            "0 to 1");
}

}  // namespace
}  // namespace athanor::testing::embedding_figure_test
