// SPDX-License-Identifier: Apache-2.0
// Grids of samples: the pixels of the images, what is written below them, and what is refused.
#include "athanor/track/sample_grid.hpp"

#include <gmock/gmock.h>
#include <torch/torch.h>

#include "tests/core/error_of.hpp"
#include "tests/track/figures.hpp"

namespace athanor::testing::sample_grid_test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t left = 24, top = 80;  // of the first image

/// Image i is grey, 10 * i, with a corner of its own.
torch::Tensor grey_images(int64_t count, int64_t size = 4) {
  torch::Tensor images = torch::empty({count, 1, size, size}, torch::kByte);
  for (int64_t i = 0; i < count; ++i) images[i].fill_(10 * i);
  images.select(2, 0).select(2, 0).fill_(255);
  return images;
}

TEST(SampleGrid, ShowsEachPixelAsASquare) {
  const Figure figure = sample_grid(grey_images(3), {.columns = 3, .tile = 40});
  const torch::Tensor pixels = figure.pixels(1);
  for (int64_t i = 0; i < 3; ++i) {
    // Tiles of 40 pixels, 4 between small ones without titles; each pixel of 4 is 10.
    const int64_t x = left + i * 44;
    for (int64_t row = 0; row < 4; ++row) {
      for (int64_t column = 0; column < 4; ++column) {
        const int grey = row == 0 && column == 0 ? 255 : static_cast<int>(10 * i);
        const Rgb expected{grey, grey, grey};
        EXPECT_EQ(pixel_at(pixels, x + column * 10 + 2, top + row * 10 + 2), expected) << i << row << column;
        EXPECT_EQ(pixel_at(pixels, x + column * 10 + 8, top + row * 10 + 8), expected) << i << row << column;
      }
    }
  }
}

TEST(SampleGrid, TakesEveryKindOfImage) {
  const auto middle = [](const torch::Tensor& images, const SampleGridOptions& options = {}) {
    SampleGridOptions own = options;
    own.tile = 40;
    return pixel_at(sample_grid(images, own).pixels(1), left + 20, top + 20);
  };
  EXPECT_EQ(middle(torch::full({1, 8, 8}, 0.5)), (Rgb{128, 128, 128}));
  EXPECT_EQ(middle(torch::ones({1, 1, 8, 8}, torch::kBool)), (Rgb{255, 255, 255}));
  EXPECT_EQ(middle(torch::ones({1, 8, 8}, torch::kHalf)), (Rgb{255, 255, 255}));
  const torch::Tensor colours = torch::tensor({0.2, 0.4, 1.0}).view({1, 3, 1, 1}).expand({1, 3, 8, 8});
  EXPECT_EQ(middle(colours), (Rgb{51, 102, 255}));
  EXPECT_EQ(middle(colours.to(torch::kDouble)), (Rgb{51, 102, 255}));
  const torch::Tensor half_there = torch::cat({colours, torch::full({1, 1, 8, 8}, 0.5)}, 1);
  EXPECT_EQ(middle(half_there), (Rgb{153, 179, 255})) << "on white: 0.2 / 2 + 0.5, 0.4 / 2 + 0.5, 1";
  const torch::Tensor bytes = torch::tensor({10, 20, 30}, torch::kByte).view({1, 3, 1, 1}).expand({1, 3, 8, 8});
  EXPECT_EQ(middle(bytes), (Rgb{10, 20, 30}));
  EXPECT_EQ(middle(bytes.contiguous(torch::MemoryFormat::ChannelsLast)), (Rgb{10, 20, 30}));
}

TEST(SampleGrid, UndoesANormalisationAndSaysWhatIsBlackAndWhite) {
  const torch::Tensor images = torch::tensor({0.2, 0.4, 0.6}).view({1, 3, 1, 1}).expand({1, 3, 8, 8});
  const torch::Tensor mean = torch::tensor({0.5, 0.4, 0.3}).view({1, 3, 1, 1});
  const torch::Tensor deviation = torch::tensor({0.2, 0.25, 0.5}).view({1, 3, 1, 1});
  SampleGridOptions options{.tile = 40, .mean = {0.5, 0.4, 0.3}, .deviation = {0.2, 0.25, 0.5}};
  const Figure back = sample_grid((images - mean) / deviation, options);
  EXPECT_EQ(pixel_at(back.pixels(1), left + 20, top + 20), (Rgb{51, 102, 153}));

  const torch::Tensor wide = torch::linspace(-3, 5, 64).view({1, 8, 8});
  const Figure stretched = sample_grid(wide, {.tile = 40});
  EXPECT_THAT(stretched.summary(), HasSubstr("black -3, white 5"));
  EXPECT_EQ(pixel_at(stretched.pixels(1), left + 2, top + 2), (Rgb{0, 0, 0}));
  EXPECT_EQ(pixel_at(stretched.pixels(1), left + 38, top + 38), (Rgb{255, 255, 255}));
  const Figure ranged = sample_grid(wide, {.tile = 40, .range = {{0.0, 1.0}}});
  EXPECT_EQ(pixel_at(ranged.pixels(1), left + 38, top + 2), (Rgb{0, 0, 0})) << "-3 + 7 * 8 / 63 is below 0";
  EXPECT_THAT(ranged.summary(), Not(HasSubstr("black")));
  const Figure plain = sample_grid(torch::rand({2, 8, 8}), {.tile = 40});
  EXPECT_THAT(plain.summary(), Not(HasSubstr("black")));
}

TEST(SampleGrid, SaysPredictionsAndFramesThoseThatAreWrong) {
  const torch::Tensor target = torch::tensor({0, 1, 2});
  const torch::Tensor logits = torch::tensor({{2.0, 0.0, 0.0}, {2.0, 1.0, 0.0}, {0.0, 0.0, 5.0}});
  SampleGridOptions options{.names = {"cat", "dog", "a <fox>"}, .predictions = logits, .columns = 3, .tile = 40};
  const Figure figure = sample_grid(grey_images(3), options, target);
  // Softmax of (2, 0, 0): e^2 / (e^2 + 2) = 0.787; of (2, 1, 0): 0.665; of (0, 0, 5): 0.987.
  const auto texts = texts_of(figure);
  for (const char* text : {"cat 0.79", "cat 0.67", "a <fox> 0.99", "is cat", "is dog", "is a <fox>"}) {
    EXPECT_THAT(texts, Contains(text));
  }
  EXPECT_THAT(figure.summary(), HasSubstr("2 of 3 right"));
  const Rgb alarm = rgb_of(draw::colours_of(Theme::light).alarm);
  const torch::Tensor pixels = figure.pixels(1);
  const int64_t cell = 92 + 14;  // titles need 92
  EXPECT_NE(pixel_at(pixels, left - 2, top + 20), alarm);
  EXPECT_EQ(pixel_at(pixels, left + cell - 2, top + 20), alarm);
  EXPECT_NE(pixel_at(pixels, left + 2 * cell - 2, top + 20), alarm);
  EXPECT_EQ(problem_of_svg({figure}), "");
  options.predictions = torch::tensor({0, 1, 1});
  EXPECT_THAT(texts_of(sample_grid(grey_images(3), options, target)), Contains("dog").Times(2));
}

TEST(SampleGrid, OfAnyDataSet) {
  struct Numbered {
    int64_t size() const { return 50; }
    std::pair<torch::Tensor, int64_t> get(int64_t index) const {
      return {torch::full({1, 8, 8}, static_cast<double>(index) / 50), index % 3};
    }
  };
  const Dataset data = Numbered{};
  const Figure first = sample_grid(data, {.names = {"a", "b", "c"}});
  EXPECT_EQ(parts_of<draw::Pixels>(first).size(), 16u);
  EXPECT_THAT(first.summary(), HasSubstr("16 of 50 samples"));
  EXPECT_THAT(texts_of(first), Contains("c").Times(5));
  const Figure chosen = sample_grid(data, {.indices = {49, 7}, .columns = 2, .tile = 40});
  EXPECT_EQ(pixel_at(chosen.pixels(1), left + 20, top + 20), (Rgb{250, 250, 250}));
  EXPECT_THAT(texts_of(chosen), Contains("sample 49"));
  EXPECT_EQ(parts_of<draw::Pixels>(sample_grid(data.slice(0, 5))).size(), 5u);
}

TEST(SampleGrid, LargeImagesAreReduced) {
  const Figure figure = sample_grid(torch::rand({1, 3, 900, 1800}), {.tile = 100});
  const auto tile = parts_of<draw::Pixels>(figure).at(0);
  EXPECT_EQ(tile.width, 100);
  EXPECT_EQ(tile.height, 50);
  EXPECT_EQ(tile.pixels.sizes(), (std::vector<int64_t>{3, 200, 400}));
}

TEST(SampleGrid, OfARanking) {
  SampleRanking ranking{.epoch = 2, .samples = 100, .not_a_number = 1};
  for (int64_t i = 0; i < 3; ++i) {
    ranking.worst.push_back({.index = 40 + i,
                             .value = i == 0 ? NAN : 3.5 - static_cast<double>(i),
                             .input = torch::full({1, 8, 8}, 0.1 * static_cast<double>(i)),
                             .prediction = torch::tensor({0.0, 3.0}),
                             .target = torch::tensor(0)});
  }
  const Figure figure = sample_grid(ranking, {.title = "Worst", .names = {"no", "yes"}});
  EXPECT_THAT(figure.summary(), HasSubstr("the worst 3 of 100 samples, epoch 2"));
  EXPECT_THAT(texts_of(figure), Contains("yes 0.95").Times(3));
  EXPECT_THAT(texts_of(figure), Contains("is no · #40 nan"));
  EXPECT_THAT(texts_of(figure), Contains(HasSubstr("#41 2.5")));
  const auto few = error_of([&] { return sample_grid(ranking, {.count = 4}); });
  EXPECT_EQ(few.got, "4");
  EXPECT_THAT(few.expected, HasSubstr("1 to 3, the samples that the ranking keeps"));
  ranking.worst[1].input = torch::zeros({1, 9, 8});
  EXPECT_THAT(error_of([&] { return sample_grid(ranking, {}); }).where, HasSubstr("sample 41"));
}

TEST(SampleGrid, RefusesWhatItCantShow) {
  const auto shape = error_of([] { return sample_grid(torch::zeros({2, 5, 8, 8})); });
  EXPECT_EQ(shape.what, "these samples are no images");
  EXPECT_EQ(shape.got, "float32 (2, 5, 8, 8)");
  EXPECT_THAT(shape.expected, HasSubstr("(N, C, H, W) with 1, 3 or 4 channels"));
  EXPECT_EQ(error_of([] { return sample_grid(torch::zeros({2, 4})); }).got, "float32 (2, 4)");
  EXPECT_EQ(error_of([] { return sample_grid(torch::zeros({1, 8, 8}, torch::kLong)); }).got, "int64 (1, 8, 8)");
  EXPECT_EQ(error_of([] { return sample_grid(torch::Tensor()); }).got, "undefined");

  const torch::Tensor images = grey_images(3);
  const auto titles = error_of([&] { return sample_grid(images, {.titles = {"one"}}); });
  EXPECT_EQ(titles.got, "1 titles");
  EXPECT_EQ(titles.expected, "3");
  EXPECT_EQ(error_of([&] {
              return sample_grid(images, {}, torch::tensor({1, 2}));
            }).what,
            "the targets are not one for each image");
  EXPECT_THAT(error_of([&] {
                return sample_grid(images, {.predictions = torch::rand({2, 4})});
              }).expected,
              HasSubstr("floating (3, classes)"));
  EXPECT_EQ(error_of([&] {
              return sample_grid(images, {.names = {"a"}}, torch::tensor({0, 0, 1}));
            }).got,
            "class 1, and 1 names");
  EXPECT_THAT(error_of([&] { return sample_grid(images, {.mean = {1, 2}}); }).expected, HasSubstr("1, or 1"));

  const Dataset data(torch::zeros({5, 1, 8, 8}));
  const auto many = error_of([&] { return sample_grid(data, {.count = 6}); });
  EXPECT_EQ(many.got, "6");
  EXPECT_EQ(many.expected, "1 to 5, the samples of the data");
  EXPECT_EQ(error_of([&] { return sample_grid(data, {.indices = {0, 5}}); }).expected, "0 to 4");
}

TEST(SampleGrid, NamesTheImageThatHoldsNan) {
  torch::Tensor images = torch::rand({4, 1, 8, 8});
  images[2][0][3][5] = NAN;
  images[3][0][0][0] = INFINITY;
  const auto error = error_of([&] { return sample_grid(images); });
  EXPECT_EQ(error.what, "an image holds numbers that are not finite");
  EXPECT_EQ(error.where, "sample_grid, image 2");
  EXPECT_EQ(error.got, "1 of 64 are NaN or infinite");
  const Dataset data(images);
  EXPECT_EQ(error_of([&] { return sample_grid(data, {.indices = {0, 3}}); }).where, "sample_grid, image 3");

  const Figure marked = sample_grid(images, {.columns = 4, .tile = 40, .mark_non_finite = true});
  EXPECT_THAT(marked.summary(), HasSubstr("2 pixels are not finite: magenta"));
  EXPECT_EQ(pixel_at(marked.pixels(1), left + 2 * 44 + 27, top + 17), (Rgb{255, 0, 255}));
  EXPECT_NE(pixel_at(marked.pixels(1), left + 2 * 44 + 33, top + 17), (Rgb{255, 0, 255}));
}

}  // namespace
}  // namespace athanor::testing::sample_grid_test
