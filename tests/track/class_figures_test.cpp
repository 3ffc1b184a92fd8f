// SPDX-License-Identifier: Apache-2.0
// Confusion matrices, tables of classes, reliability diagrams: the numbers in them and the colours that they have.
#include "athanor/track/class_figures.hpp"

#include <gmock/gmock.h>
#include <torch/torch.h>

#include "athanor/metrics/calibration_error.hpp"
#include "athanor/track/reliability.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/figures.hpp"

namespace athanor::testing::class_figures_test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

const torch::Tensor three = torch::tensor({{80, 20, 0}, {5, 90, 5}, {0, 0, 0}});

/// The cells of a matrix, row by row: boxes with a fill that are as wide as high.
std::vector<draw::Box> cells_of(const Figure& figure) {
  std::vector<draw::Box> cells;
  for (const draw::Box& box : parts_of<draw::Box>(figure)) {
    if (box.fill.alpha > 0 && box.width == box.height && box.width < 200) cells.push_back(box);
  }
  return cells;
}

TEST(ConfusionFigure, HasCountsNamesAndColours) {
  const Figure figure = confusion_figure(three, {.names = {"cat", "dog", "<fox> & co"}});
  const auto texts = texts_of(figure);
  for (const char* text : {"80", "20", "90"}) EXPECT_THAT(texts, Contains(text).Times(1)) << text;
  EXPECT_THAT(texts, Contains("5").Times(2));
  EXPECT_THAT(texts, Not(Contains("0"))) << "empty cells stay empty";
  EXPECT_THAT(texts, Contains("<fox> & co").Times(2));
  EXPECT_THAT(figure.summary(), HasSubstr("200 samples · 85 % right · counts"));
  const auto cells = cells_of(figure);
  ASSERT_EQ(cells.size(), 9u);
  const draw::ThemeColours& colours = draw::colours_of(Theme::light);
  // 0.8 of the row is right; a mistake has the root of its share.
  EXPECT_EQ(cells[0].fill, draw::mix_colours(colours.page, colours.strong, 0.8));
  EXPECT_EQ(cells[1].fill, draw::mix_colours(colours.page, colours.alarm, std::sqrt(0.2)));
  EXPECT_EQ(cells[2].fill, colours.page);
  EXPECT_EQ(cells[8].fill, colours.page) << "a class without samples";
  const draw::Box& first = cells[0];
  EXPECT_EQ(pixel_at(figure.pixels(1), std::lround(first.x + 3.5), std::lround(first.y + 3.5)), rgb_of(first.fill));
  EXPECT_EQ(problem_of_svg({figure, confusion_figure(three, {.theme = Theme::dark})}), "");
}

TEST(ConfusionFigure, Normalises) {
  const auto texts = [](metrics::Normalize of) { return texts_of(confusion_figure(three, {.normalize = of})); };
  EXPECT_THAT(texts(metrics::Normalize::target), AllOf(Contains("80"), Contains("20"), Contains("90"), Contains("5")));
  // 80 / 85, 5 / 85, 20 / 110, 90 / 110, 5 / 5
  EXPECT_THAT(texts(metrics::Normalize::prediction),
              AllOf(Contains("94"), Contains("5.9"), Contains("18"), Contains("82"), Contains("100")));
  EXPECT_THAT(texts(metrics::Normalize::all), AllOf(Contains("40"), Contains("10"), Contains("45"), Contains("2.5")));
}

TEST(ConfusionFigure, OfTwoClassesIsWideEnoughForItsSummary) {
  const torch::Tensor two = torch::tensor({{123456, 7890}, {4567, 98765}});
  const auto normalize = {metrics::Normalize::none, metrics::Normalize::target, metrics::Normalize::prediction,
                          metrics::Normalize::all};
  for (const metrics::Normalize of : normalize) {
    const Figure figure = confusion_figure(two, {.normalize = of});
    EXPECT_THAT(texts_of(figure), Contains(figure.summary()));
  }
}

TEST(ConfusionFigure, ManyClassesAreOnePicture) {
  const torch::Tensor confusion = torch::eye(100).mul(50).to(torch::kLong);
  const Figure figure = confusion_figure(confusion);
  const auto pictures = parts_of<draw::Pixels>(figure);
  ASSERT_EQ(pictures.size(), 1u);
  const draw::ThemeColours& colours = draw::colours_of(Theme::light);
  for (int64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(pixel_at(pictures[0].pixels, i, i), rgb_of(colours.strong));
    EXPECT_EQ(pixel_at(pictures[0].pixels, i, (i + 1) % 100), rgb_of(colours.page));
  }
  EXPECT_EQ(figure.pixels(1).size(2), figure.width());
}

TEST(ConfusionFigure, RefusesWhatIsNoMatrix) {
  EXPECT_EQ(error_of([] { return confusion_figure(torch::zeros({2, 3})); }).got, "float32 (2, 3)");
  EXPECT_EQ(error_of([] { return confusion_figure(three, {.names = {"one"}}); }).expected, "3, one for each class");
  const auto negative = error_of([] { return confusion_figure(torch::tensor({{1, 2}, {-3, 4}})); });
  EXPECT_EQ(negative.where, "confusion_figure, row 1, column 0");
  EXPECT_EQ(error_of([] { return confusion_figure(torch::tensor({{NAN}})); }).expected, "0 or more");
}

TEST(ClassScoresFigure, HasTheNumbersOfTheTableAndMarksAtTheirPlaces) {
  ClassTable table = class_table(three, {"cat", "dog", "fox|x"});
  table.epoch = 4;
  const Figure figure = class_scores_figure(table, {.worst_first = false});
  EXPECT_THAT(figure.summary(), HasSubstr("val, epoch 4 · 200 samples · accuracy 0.8500"));
  // cat: 80 / 85 and 80 / 100
  EXPECT_THAT(texts_of(figure), AllOf(Contains("0.9412"), Contains("0.8000"), Contains("100")));
  const auto circles = parts_of<draw::Circle>(figure);
  ASSERT_EQ(circles.size(), 2u + 2u * 5u);
  // The scale is 260 wide: precision and recall of cat differ by 0.1412 of it.
  EXPECT_NEAR(circles[2].x - circles[3].x, 260 * (80.0 / 85 - 0.8), 1e-9);
  const Figure worst = class_scores_figure(table, {.most = 1});
  EXPECT_THAT(texts_of(worst), AllOf(Contains("fox|x"), Not(Contains("cat"))));
  EXPECT_THAT(worst.summary(), HasSubstr("1 of 3 classes"));
  EXPECT_EQ(problem_of_svg({figure, worst}), "");
  const std::string markdown = class_markdown(table);
  EXPECT_THAT(markdown, HasSubstr("| cat | 0.9412 | 0.8000 | 0.8649 | 100 |"));
  EXPECT_THAT(markdown, HasSubstr("| fox\\|x | 0.0000 |"));
  EXPECT_THAT(error_of([&] { return class_scores_figure(table, {.most = 0}); }).got, HasSubstr(".most = 0"));
}

TEST(Reliability, OfAHandfulIsWhatIsCountedByHand) {
  // Four bins. Confidences 0.6, 0.7 (one right), 0.9, 0.95, 0.8 (all right), 1 (wrong).
  const torch::Tensor shares =
      torch::tensor({{0.6, 0.4}, {0.3, 0.7}, {0.9, 0.1}, {0.05, 0.95}, {0.2, 0.8}, {1.0, 0.0}}, torch::kDouble);
  const torch::Tensor target = torch::tensor({0, 0, 0, 1, 1, 1});
  const Reliability found = reliability(shares, target, {.bins = 4, .from_logits = false});
  ASSERT_EQ(found.bins.size(), 5u);
  EXPECT_EQ(found.bins[2].samples, 2);
  EXPECT_DOUBLE_EQ(found.bins[2].confidence, 0.65);
  EXPECT_DOUBLE_EQ(found.bins[2].accuracy, 0.5);
  EXPECT_EQ(found.bins[3].samples, 3);
  EXPECT_DOUBLE_EQ(found.bins[3].accuracy, 1);
  EXPECT_EQ(found.bins[4].samples, 1) << "a confidence of exactly 1";
  EXPECT_DOUBLE_EQ(found.bins[4].low, 1);
  EXPECT_DOUBLE_EQ(found.greatest_error, 1);
  // 2 / 6 * 0.15 + 3 / 6 * (1 - 2.65 / 3) + 1 / 6 * 1
  EXPECT_NEAR(found.expected_error, 2 / 6.0 * 0.15 + 0.5 * (1 - 2.65 / 3) + 1 / 6.0, 1e-14);
  EXPECT_NEAR(found.accuracy, 4 / 6.0, 1e-14);
}

TEST(Reliability, IsTheCalibrationErrorOfTheMetricWhateverTheBatches) {
  torch::manual_seed(3);
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    const torch::Tensor logits = (torch::randn({997, 6}) * 4).to(dtype);
    const torch::Tensor target = torch::randint(6, {997});
    target.slice(0, 0, 50).fill_(-100);
    ReliabilityCounts counts({.bins = 15, .ignore_index = -100});
    for (int64_t at = 0; at < 997; at += 100) {
      counts.update(logits.slice(0, at, std::min<int64_t>(at + 100, 997)),
                    target.slice(0, at, std::min<int64_t>(at + 100, 997)));
    }
    const double metric = metrics::calibration_error(logits, target, {.ignore_index = -100});
    // Both add some thousand float64 numbers of at most 1, in another order.
    EXPECT_NEAR(counts.compute().expected_error, metric, 1e-12);
    EXPECT_EQ(counts.compute().samples, 947);
    const torch::Tensor binary = logits.select(1, 0).contiguous(), truth = target.remainder(2).abs();
    EXPECT_NEAR(reliability(binary, truth).expected_error, metrics::calibration_error(binary, truth), 1e-12);
  }
}

TEST(ReliabilityDiagram, HasBarsAsHighAsTheAccuracy) {
  torch::manual_seed(5);
  const Reliability found = reliability(torch::randn({2000, 4}) * 3, torch::randint(4, {2000}), {.bins = 10});
  const Figure figure = reliability_diagram(found);
  EXPECT_THAT(figure.summary(), HasSubstr("too sure"));
  std::vector<draw::Box> bars;
  const draw::ThemeColours& colours = draw::colours_of(Theme::light);
  for (const draw::Box& box : parts_of<draw::Box>(figure)) {
    if (box.fill == colours.strong && box.width > 20) bars.push_back(box);
  }
  size_t bar = 0;
  for (const ReliabilityBin& bin : found.bins) {
    if (bin.samples == 0 || bin.low == 1) continue;
    ASSERT_LT(bar, bars.size());
    EXPECT_NEAR(bars[bar].height, 360 * std::min(bin.accuracy, bin.confidence), 1e-9);
    ++bar;
  }
  EXPECT_EQ(problem_of_svg({figure, reliability_diagram(found, {.theme = Theme::dark})}), "");
}

TEST(Reliability, RefusesWhatDoesNotFit) {
  EXPECT_THAT(error_of([] {
                return reliability(torch::randn({3, 2}), torch::tensor({0, 1}));
              }).got,
              HasSubstr("float32 (3, 2) and int64 (2)"));
  EXPECT_EQ(error_of([] { return reliability(torch::randn({2, 2}), torch::tensor({0, 2})); }).expected, "0 to 1");
  EXPECT_EQ(error_of([] {
              return reliability(torch::full({1, 2}, NAN), torch::tensor({0}));
            }).what,
            "predictions hold NaN");
  EXPECT_THAT(error_of([] {
                return reliability(torch::tensor({{2.0, -1.0}}), torch::tensor({0}), {.from_logits = false});
              }).todo,
              HasSubstr("from_logits"));
  EXPECT_EQ(error_of([] { return ReliabilityCounts({.bins = 0}); }).got, "0");
  EXPECT_EQ(error_of([] { return ReliabilityCounts().compute(); }).what, "there are no samples to judge");
}

}  // namespace
}  // namespace athanor::testing::class_figures_test
