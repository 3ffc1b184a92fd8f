// SPDX-License-Identifier: Apache-2.0
// The picture of a run: well-formed, complete, honest about what is missing.
#include "athanor/track/plot.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/track/axis.hpp"

namespace athanor::plot_test {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

History run(const std::vector<double>& losses) {
  History history;
  int64_t number = 0;
  for (const double loss : losses) {
    ++number;
    history.add(
        {.number = number,
         .steps = number,
         .seconds = 1,
         .values = {
             {"train_loss", loss}, {"val_loss", loss + 0.1}, {"val_acc", 0.5 + 0.001 * static_cast<double>(number)}}});
  }
  return history;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

// Tags that close in order, quoted attributes, no stray markup: what an XML reader stumbles over first.
std::string problem_of(const std::string& xml) {
  std::vector<std::string> open;
  size_t at = 0;
  while (at < xml.size()) {
    if (static_cast<unsigned char>(xml[at]) < 0x20 && xml[at] != '\n') return "a control character";
    if (xml[at] == '&' && xml.find(';', at) - at > 5) return "a bare ampersand";
    if (xml[at] == '>') return "a bare >";
    if (xml[at] != '<') {
      ++at;
      continue;
    }
    const size_t end = xml.find('>', at);
    if (end == std::string::npos) return "a tag without an end";
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (tag.find('<') != std::string::npos) return "a tag within a tag";
    if (count(tag, "\"") % 2 != 0) return "an open quote in " + tag;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag.front() == '/') {
      if (open.empty() || "/" + open.back() != tag) return "unbalanced " + tag;
      open.pop_back();
    } else if (tag.back() != '/') {
      if (at > 0 && open.empty()) return "a second root";
      open.push_back(name);
    }
    at = end + 1;
  }
  return open.empty() ? "" : "open at the end: " + open.back();
}

// How often the curve of that name is taken up: M of the path that follows its title.
size_t strokes_of(const std::string& svg, const std::string& name) {
  const size_t begin = svg.find("<title>" + name + "</title>");
  if (begin == std::string::npos) return 0;
  return count(svg.substr(begin, svg.find("</g>", begin) - begin), "M");
}

TEST(Plot, IsWellFormedAndHasAPanelForEachQuantity) {
  const std::string svg = plot_svg(run({0.9, 0.5, 0.4}));
  EXPECT_EQ(problem_of(svg), "");
  for (const char* text : {">loss<", ">acc<", ">train<", ">val<", ">epoch<", ">Training history<"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
  for (const char* name : {"train_loss", "val_loss", "val_acc"}) EXPECT_EQ(strokes_of(svg, name), 1u) << name;
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(Plot, EscapesNames) {
  History history;
  history.add({.number = 1, .steps = 1, .seconds = 1, .values = {{"val_a<b> & \"c\"\x01\xff", 1.0}, {"größe/Δ", 2.0}}});
  const std::string svg = plot_svg(history, {.title = "</svg><script>"});
  EXPECT_EQ(problem_of(svg), "");
  EXPECT_EQ(svg.find("<script>"), std::string::npos);
  EXPECT_NE(svg.find("a&lt;b&gt; &amp; &quot;c&quot; ?"), std::string::npos);
  EXPECT_NE(svg.find("größe/Δ"), std::string::npos);
}

TEST(Plot, NanAndInfinityLeaveGaps) {
  const std::string svg = plot_svg(run({0.9, 0.8, nan, 0.6, 0.5, inf, 0.4, 0.3}));
  EXPECT_EQ(problem_of(svg), "");
  EXPECT_EQ(strokes_of(svg, "val_loss"), 3u);
  EXPECT_EQ(strokes_of(svg, "val_acc"), 1u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf\""), std::string::npos);
}

TEST(Plot, WhatStandsAloneIsADot) {
  const std::string one = plot_svg(run({0.5}));
  EXPECT_EQ(count(one, "<circle"), 3u);
  const std::string lonely = plot_svg(run({nan, 0.5, nan}));
  EXPECT_EQ(strokes_of(lonely, "train_loss"), 0u);
  EXPECT_NE(plot_svg(run({nan})).find("no finite value"), std::string::npos);
}

TEST(Plot, MarksTheBestEpoch) {
  History history = run({0.9, 0.5, 0.6});
  EXPECT_EQ(plot_svg(history).find("at epoch 2"), std::string::npos);
  history.set_best({.monitor = "val_loss", .epoch = 2, .value = 0.6});
  const std::string svg = plot_svg(history);
  EXPECT_EQ(problem_of(svg), "");
  EXPECT_NE(svg.find(">0.6000 at epoch 2<"), std::string::npos);
  EXPECT_EQ(count(svg, "Z\""), 1u) << "one star";
  EXPECT_EQ(count(svg, "stroke-dasharray=\"2 3\""), 2u) << "a line in each panel";
}

TEST(Plot, AnEmptyHistorySaysSo) {
  const std::string svg = plot_svg(History());
  EXPECT_EQ(problem_of(svg), "");
  EXPECT_NE(svg.find("no epochs yet"), std::string::npos);
}

TEST(Plot, LongRunsAreThinnedAndKeepTheirPeaks) {
  std::vector<double> losses(20000, 0.5);
  losses[12345] = 7;
  losses[777] = nan;
  const std::string svg = plot_svg(run(losses), {.max_points = 400});
  EXPECT_EQ(problem_of(svg), "");
  EXPECT_LT(svg.size(), 40'000u);
  EXPECT_EQ(strokes_of(svg, "train_loss"), 2u);

  std::vector<plot::Point> points;
  for (const double loss : losses) points.push_back({static_cast<double>(points.size()), loss});
  const auto thinned = plot::thin(points, 400);
  EXPECT_LE(thinned.size(), 420u);
  EXPECT_EQ(thinned.front().x, 0);
  EXPECT_EQ(thinned.back().x, 19999);
  EXPECT_TRUE(std::any_of(thinned.begin(), thinned.end(), [](const plot::Point& point) { return point.y == 7; }));
  EXPECT_TRUE(std::is_sorted(thinned.begin(), thinned.end(), [](const auto& a, const auto& b) { return a.x < b.x; }));
}

TEST(Plot, LoadersOfOneMetricShareAPanel) {
  History history;
  history.add({.number = 1, .steps = 1, .seconds = 1, .values = {{"train_acc", 0.5}, {"night_acc", 0.4}, {"lr", 0.1}}});
  const std::string svg = plot_svg(history);
  EXPECT_NE(svg.find(">night<"), std::string::npos);
  EXPECT_NE(svg.find(">lr<"), std::string::npos);
}

TEST(Plot, RefusesNoColumns) { EXPECT_THROW((void)plot_svg(run({0.5}), {.columns = 0}), Error); }

TEST(Plot, IsSaved) {
  const auto path = std::filesystem::temp_directory_path() / "athanor_plot_test.svg";
  save_plot(run({0.9, 0.5}), path);
  std::ifstream file(path);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove(path);
  EXPECT_EQ(content, plot_svg(run({0.9, 0.5})));
}

TEST(Axis, TicksAreRoundNumbers) {
  using Labels = std::vector<std::string>;
  EXPECT_EQ(plot::value_axis({0.81, 0.93}, 5).labels, (Labels{"0.82", "0.84", "0.86", "0.88", "0.90", "0.92"}));
  EXPECT_EQ(plot::value_axis({}, 5).labels, (Labels{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}));
  EXPECT_EQ(plot::value_axis({1e-4, 3e-4}, 3).labels, (Labels{"1.0e-4", "1.5e-4", "2.0e-4", "2.5e-4", "3.0e-4"}));
  EXPECT_EQ(plot::value_axis({-2e6, 2e6}, 4).labels, (Labels{"-2e6", "-1e6", "0", "1e6", "2e6"}));
  EXPECT_EQ(plot::epoch_axis(1, 20, 6).labels, (Labels{"1", "5", "10", "15", "20"}));
  EXPECT_EQ(plot::epoch_axis(1, 3, 6).labels, (Labels{"1", "2", "3"}));
  EXPECT_EQ(plot::epoch_axis(4, 4, 6).labels, (Labels{"4"}));
}

TEST(Axis, HoldsEqualAndExtremeValues) {
  for (const std::vector<double>& values : {std::vector<double>{0.5, 0.5}, {0, 0}, {-1e308, 1e308}, {1e300, nan, 2}}) {
    const plot::Axis axis = plot::value_axis(values, 4);
    EXPECT_LT(axis.low, axis.high);
    EXPECT_TRUE(std::isfinite(axis.high - axis.low));
    EXPECT_LE(axis.ticks.size(), 50u);
  }
}

}  // namespace
}  // namespace athanor::plot_test
