// SPDX-License-Identifier: Apache-2.0
// The pictures of schedules and of the learning-rate finder, read back: numbers out of their paths.
#include "athanor/track/schedule_plot.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "athanor/optim/schedules.hpp"
#include "athanor/track/line_plot.hpp"
#include "athanor/track/lr_curve_plot.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::schedule_plot_test {
namespace {

using namespace literals;

struct Place {
  double x;
  double y;
};

/// The strokes of the line with that title; several where it has gaps.
std::vector<std::vector<Place>> strokes_of(const std::string& svg, const std::string& name, size_t nth = 0) {
  size_t begin = 0;
  for (size_t i = 0; i <= nth; ++i) begin = svg.find("<title>" + name + "</title>\n<path d=\"", begin + 1);
  if (begin == std::string::npos) return {};
  const std::string path = svg.substr(begin, svg.find("fill=", begin) - begin);
  std::vector<std::vector<Place>> strokes;
  static const std::regex point("([ML])(-?[0-9.]+) (-?[0-9.]+)");
  for (std::sregex_iterator it(path.begin(), path.end(), point), end; it != end; ++it) {
    if ((*it)[1] == "M") strokes.emplace_back();
    strokes.back().push_back({std::stod((*it)[2]), std::stod((*it)[3])});
  }
  return strokes;
}

/// From pixels to numbers by two labels of an axis: the labels at the left (anchor "end") or below ("middle").
struct Scale {
  double pixel, per_pixel, number;
  [[nodiscard]] double operator()(double at) const { return number + (at - pixel) * per_pixel; }
};
Scale scale_of(const std::string& svg, const std::string& anchor, bool vertical) {
  const std::regex label("<text x=\"([0-9.]+)\" y=\"([0-9.]+)\" text-anchor=\"" + anchor +
                         "\"[^>]*>([-0-9.]+(?:e-?[0-9]+)?)</text>");
  std::vector<Place> found;  // number, pixel
  for (std::sregex_iterator it(svg.begin(), svg.end(), label), end; it != end; ++it) {
    found.push_back({std::stod((*it)[3]), std::stod((*it)[vertical ? 2 : 1]) - (vertical ? 4 : 0)});
    if (found.size() > 1 && found[1].y == found[0].y) found.pop_back();
  }
  EXPECT_GE(found.size(), 2u);
  const Place a = found.at(0), b = found.at(1);
  return {a.y, (b.x - a.x) / (b.y - a.y), a.x};
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

// A pixel has two decimals; a panel of 206 pixels shows a range of 1.24: 0.005 / 206 x 1.24, and as much again for the
// labels that the scale is read from.
constexpr double y_margin = 2e-4;

TEST(SchedulePlot, TheLineIsTheSchedule) {
  const Schedule schedule = schedules::sequence({schedules::linear_warmup(100_steps), schedules::cosine()});
  const std::string svg = plot_svg(schedule, {.updates = 500, .epochs = 5});
  const auto strokes = strokes_of(svg, "factor of lr");
  ASSERT_EQ(strokes.size(), 1u);
  const Scale x = scale_of(svg, "middle", false), y = scale_of(svg, "end", true);
  ASSERT_GE(strokes[0].size(), 400u);
  for (const Place& place : strokes[0]) {
    const auto update = static_cast<int64_t>(std::llround(x(place.x)));
    const ScheduleTime time{.updates = update, .total_updates = 500, .total_epochs = 5};
    EXPECT_NEAR(y(place.y), schedule.factor(time), y_margin) << update;
  }
  EXPECT_NE(svg.find(">linear warm-up over 100 steps, then cosine to 0<"), std::string::npos);
}

TEST(SchedulePlot, TheBaseGivesRates) {
  const std::string svg = plot_svg(schedules::step(1_epochs, 0.5), {.updates = 40, .epochs = 4, .base = 2});
  const auto strokes = strokes_of(svg, "lr");
  ASSERT_EQ(strokes.size(), 1u);
  const Scale y = scale_of(svg, "end", true);
  EXPECT_NEAR(y(strokes[0].front().y), 2, 3 * y_margin);
  EXPECT_NEAR(y(strokes[0].back().y), 0.25, 3 * y_margin);
}

TEST(SchedulePlot, EveryFieldHasAPanelAndEveryGroupALine) {
  const std::string cycle = plot_svg(schedules::one_cycle(), {.updates = 100, .epochs = 1, .base = 0.1});
  EXPECT_EQ(strokes_of(cycle, "lr").size(), 1u);
  EXPECT_EQ(strokes_of(cycle, "momentum").size(), 1u);
  EXPECT_EQ(count(cycle, ">update<"), 2u);
  const std::string groups =
      plot_svg(schedules::by_group({schedules::cosine(), schedules::step(1_epochs)}), {.updates = 100, .epochs = 3});
  EXPECT_EQ(strokes_of(groups, "group 0").size(), 1u);
  EXPECT_EQ(strokes_of(groups, "group 1").size(), 1u);
  EXPECT_EQ(count(groups, ">update<"), 1u);
}

TEST(SchedulePlot, ALongRunIsThinned) {
  const std::string svg = plot_svg(schedules::cosine_restarts(1000_steps), {.updates = 3'000'000, .epochs = 3});
  EXPECT_LT(svg.size(), 60'000u);
  EXPECT_EQ(strokes_of(svg, "factor of lr").size(), 1u);
}

TEST(SchedulePlot, WithoutALengthThereIsNone) {
  const auto parts = error_of([] { return plot_svg(schedules::cosine(), {.updates = 100}); });
  EXPECT_EQ(parts.what, "the picture of a schedule needs the length of the run");
  EXPECT_EQ(parts.got, "100 updates, 0 epochs");
}

TEST(SchedulePlot, IsWrittenToAFile) {
  const auto path = std::filesystem::temp_directory_path() / "athanor-schedule-plot.svg";
  const SchedulePlotOptions options{.updates = 10, .epochs = 1, .title = "a < b"};
  save_plot(schedules::cosine(), options, path);
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::filesystem::remove(path);
  EXPECT_EQ(text, plot_svg(schedules::cosine(), options));
  EXPECT_NE(text.find("<title>a &lt; b</title>"), std::string::npos);
  EXPECT_TRUE(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
}

LrCurve sweep() {
  LrCurve curve;
  for (int i = 0; i < 61; ++i) {
    curve.lrs.push_back(std::pow(10, -6 + i / 10.0));
    curve.smoothed.push_back(2 - 1 / (1 + std::exp(-(i - 30) / 3.0)));  // falls fastest at 1e-3
    curve.losses.push_back(curve.smoothed.back() + (i % 2 == 0 ? 0.05 : -0.05));
  }
  curve.lrs.push_back(2);
  curve.losses.push_back(std::numeric_limits<double>::infinity());
  return curve;
}

TEST(LrCurvePlot, TheLinesAreTheLosses) {
  const LrCurve curve = sweep();
  const std::string svg = plot_svg(curve);
  const auto strokes = strokes_of(svg, "smoothed");
  ASSERT_EQ(strokes.size(), 1u);
  ASSERT_EQ(strokes[0].size(), curve.smoothed.size());
  const Scale y = scale_of(svg, "end", true);
  for (size_t i = 0; i < strokes[0].size(); ++i) EXPECT_NEAR(y(strokes[0][i].y), curve.smoothed[i], y_margin);
  EXPECT_EQ(strokes_of(svg, "step").at(0).size(), 61u) << "the infinite one is left out";
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  // Equal factors are equal steps.
  const double step = strokes[0][1].x - strokes[0][0].x;
  for (size_t i = 1; i < 61; ++i) EXPECT_NEAR(strokes[0][i].x - strokes[0][i - 1].x, step, 0.011);
}

TEST(LrCurvePlot, TheSuggestionIsMarked) {
  const LrCurve curve = sweep();
  ASSERT_NEAR(*curve.suggestion(), 1e-3, 1e-9);
  const std::string svg = plot_svg(curve);
  const auto smoothed = strokes_of(svg, "smoothed").at(0);
  EXPECT_NE(svg.find("M" + svg::number(smoothed[30].x) + " "), std::string::npos);
  EXPECT_NE(svg.find("suggestion 0.0010"), std::string::npos);
  EXPECT_NE(svg.find(">1e-3<"), std::string::npos);
  EXPECT_NE(plot_svg({.lrs = {0.1}, .losses = {1}, .smoothed = {1}}).find("no suggestion"), std::string::npos);
}

TEST(LrCurvePlot, WithoutStepsItSaysSo) { EXPECT_NE(plot_svg(LrCurve()).find("no steps yet"), std::string::npos); }

TEST(LinePlot, ALogarithmicAxisHasPowersOfTen) {
  const plot::Axis wide = plot::log_axis(1e-8, 1);
  EXPECT_EQ(wide.labels,
            (std::vector<std::string>{"1e-8", "1e-7", "1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1", "1e0"}));
  EXPECT_EQ(plot::log_axis(1e-3, 1e-2).labels, (std::vector<std::string>{"1e-3", "2e-3", "5e-3", "1e-2"}));
  EXPECT_EQ(plot::log_axis(0.1, 0.1).labels, (std::vector<std::string>{"5e-2", "1e-1", "2e-1"}));
}

}  // namespace
}  // namespace athanor::testing::schedule_plot_test
