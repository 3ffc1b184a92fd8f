// SPDX-License-Identifier: Apache-2.0
// Which curves share a panel, and how a panel is drawn.
#include "athanor/track/panel.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "athanor/core/text.hpp"
#include "athanor/track/axis.hpp"

namespace athanor::plot {
namespace {

constexpr size_t marked_epochs = 30;  // so few points are drawn as dots on their line
constexpr size_t long_run = 300;

// Told apart without colours too: by lightness, by dashes and by width.
constexpr Look training{"#7d8da3", 1.8, true};
constexpr Look validation{"#0b5fb0", 2.4, false};
constexpr std::array<Look, 4> others{
    {{"#0f766e", 2.0, false}, {"#7e3fb5", 2.0, false}, {"#8a5a00", 2.0, false}, {"#334155", 2.0, false}}};

// `val_acc` is the stage `val` of `acc`; `night_acc` too is a stage of `acc` when there is a `train_acc`.
std::pair<std::string, std::string> stage_and_quantity(const std::string& name, const std::vector<std::string>& names) {
  for (const std::string stage : {"train", "val", "test"}) {
    if (name.starts_with(stage + "_") && name.size() > stage.size() + 1) return {stage, name.substr(stage.size() + 1)};
  }
  for (const std::string& other : names) {
    if (!other.starts_with("train_")) continue;
    const std::string ending = other.substr(5);
    if (name.size() > ending.size() && name.ends_with(ending)) {
      return {name.substr(0, name.size() - ending.size()), ending.substr(1)};
    }
  }
  return {"", name};
}

std::string star(double x, double y, double radius) {
  std::string path;
  for (int i = 0; i < 10; ++i) {
    const double length = i % 2 == 0 ? radius : radius * 0.45;
    const double angle = M_PI * (i / 5.0 - 0.5);
    path += (i == 0 ? "M" : "L") + svg::number(x + length * std::cos(angle)) + " " +
            svg::number(y + length * std::sin(angle));
  }
  return path + "Z";
}

std::vector<double> all_values(const Panel& panel) {
  std::vector<double> all;
  for (const Curve& curve : panel.curves) all.insert(all.end(), curve.values.begin(), curve.values.end());
  return all;
}

class Drawing {
 public:
  Drawing(svg::Writer& out, const Panel& panel, const Area& area, const std::vector<double>& epochs,
          const std::optional<History::Best>& best, size_t max_points)
      : out_(out),
        panel_(panel),
        area_(area),
        epochs_(epochs),
        best_(best),
        max_points_(max_points),
        x_(epoch_axis(epochs.front(), epochs.back(), static_cast<int>(area.width / 60))),
        y_(value_axis(all_values(panel), static_cast<int>(std::max(area.height / 45, 2.0)))) {
    const auto values = all_values(panel);
    has_values_ = std::any_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
  }

  void draw() {
    std::vector<LegendEntry> legend;
    for (const Curve& curve : panel_.curves) legend.push_back({.name = curve.stage, .look = curve.look});
    const double legend_left = draw_legend(out_, area_, legend);
    const double left = area_.left - room_left;
    draw_label(out_, left, area_.top - 14, "start", panel_.quantity, 15, palette::ink, legend_left - left - 12);
    draw_frame(out_, area_, x_, y_, "epoch");
    draw_best_line();
    for (const Curve& curve : panel_.curves) draw_curve(curve);
    draw_best();
    if (!has_values_) {
      draw_label(out_, area_.left + area_.width / 2, area_.top + area_.height / 2, "middle", "no finite value", 13,
                 palette::soft_ink, area_.width);
    }
  }

 private:
  void draw_curve(const Curve& curve) {
    std::vector<Point> points;
    for (size_t i = 0; i < epochs_.size(); ++i) points.push_back({epochs_[i], curve.values[i]});
    points = thin(points, std::max<size_t>(max_points_, 2));

    std::string line;
    std::vector<Point> dots;
    bool pen_down = false;
    for (size_t i = 0; i < points.size(); ++i) {
      if (!std::isfinite(points[i].y)) {
        pen_down = false;
        continue;
      }
      const Point at{area_.left + x_.place(points[i].x) * area_.width,
                     area_.bottom() - y_.place(points[i].y) * area_.height};
      const bool goes_on = i + 1 < points.size() && std::isfinite(points[i + 1].y);
      if (pen_down || goes_on) line += (pen_down ? "L" : "M") + svg::number(at.x) + " " + svg::number(at.y);
      const bool marked = epochs_.size() <= marked_epochs && !curve.look.dashed;
      if (marked || (!pen_down && !goes_on)) dots.push_back(at);
      pen_down = true;
    }
    // Noise over thousands of epochs would fill a broad band.
    const double width = epochs_.size() > long_run ? curve.look.width * 0.6 : curve.look.width;
    out_.open("g", {{"stroke", curve.look.colour}, {"fill", curve.look.colour}});
    out_.text("title", {}, curve.name);
    if (!line.empty()) {
      out_.element("path", {{"d", line},
                            {"fill", "none"},
                            {"stroke-width", width},
                            {"stroke-linejoin", "round"},
                            {"stroke-dasharray", curve.look.dashed ? "6 4" : "none"}});
    }
    const double radius = epochs_.size() == 1 ? 4 : width + 0.4;
    for (const Point& dot : dots) {
      out_.element("circle", {{"cx", dot.x}, {"cy", dot.y}, {"r", radius}, {"stroke", "none"}});
    }
    out_.close();
  }

  void draw_best_line() {
    if (!best_ || best_->epoch <= 0) return;
    const double at = area_.left + x_.place(static_cast<double>(best_->epoch)) * area_.width;
    out_.element("path",
                 {{"d", "M" + svg::number(at) + " " + svg::number(area_.top) + "V" + svg::number(area_.bottom())},
                  {"stroke", palette::best},
                  {"stroke-opacity", 0.45},
                  {"stroke-dasharray", "2 3"}});
  }

  void draw_best() {
    if (!best_ || best_->epoch <= 0 || !std::isfinite(best_->value)) return;
    if (std::none_of(panel_.curves.begin(), panel_.curves.end(),
                     [&](const Curve& curve) { return curve.name == best_->monitor; })) {
      return;
    }
    const Point at{area_.left + x_.place(static_cast<double>(best_->epoch)) * area_.width,
                   area_.bottom() - y_.place(best_->value) * area_.height};
    out_.element("path", {{"d", star(at.x, at.y, 9)},
                          {"fill", palette::best},
                          {"stroke", "#ffffff"},
                          {"stroke-width", 1.5},
                          {"stroke-linejoin", "round"}});
    const std::string text = format_number(best_->value) + " at epoch " + std::to_string(best_->epoch);
    const Point place = free_place(at, svg::text_width(text, 12) / 2);
    out_.text("text",
              {{"x", place.x},
               {"y", place.y},
               {"text-anchor", "middle"},
               {"font-weight", "600"},
               {"fill", palette::best},
               {"stroke", "#ffffff"},
               {"stroke-width", 4.0},
               {"stroke-linejoin", "round"},
               {"paint-order", "stroke"}},
              text);
  }

  // Where a label of that half width near the mark covers the least of the curves: the middle of its baseline.
  [[nodiscard]] Point free_place(Point mark, double half) const {
    const double middle = std::clamp(mark.x, area_.left + half, std::max(area_.right() - half, area_.left + half));
    const std::array<Point, 6> places{{{middle, mark.y - 15},
                                       {middle, mark.y + 23},
                                       {mark.x + 14 + half, mark.y + 4},
                                       {mark.x - 14 - half, mark.y + 4},
                                       {middle, mark.y - 34},
                                       {middle, mark.y + 42}}};
    Point best = places.front();
    size_t least = SIZE_MAX;
    for (const Point& place : places) {
      if (place.y < area_.top + 2 || place.y > area_.bottom() - 5) continue;
      if (place.x - half < area_.left || place.x + half > area_.right() + 1) continue;
      const size_t covered = covered_points(place, half);
      if (covered >= least) continue;
      best = place;
      least = covered;
    }
    return best;
  }

  [[nodiscard]] size_t covered_points(Point place, double half) const {
    constexpr int samples = 16;
    size_t covered = 0;
    for (int i = 0; i <= samples; ++i) {
      const double across = (place.x - half + 2 * half * i / samples - area_.left) / area_.width;
      const double epoch = x_.low + across * (x_.high - x_.low);
      const auto next = std::lower_bound(epochs_.begin(), epochs_.end(), epoch);
      if (next == epochs_.end() || next == epochs_.begin()) continue;
      const auto index = static_cast<size_t>(next - epochs_.begin());
      const double share = (epoch - epochs_[index - 1]) / (epochs_[index] - epochs_[index - 1]);
      for (const Curve& curve : panel_.curves) {
        const double value = curve.values[index - 1] + share * (curve.values[index] - curve.values[index - 1]);
        const double down = area_.bottom() - y_.place(value) * area_.height;
        if (down > place.y - 13 && down < place.y + 5) ++covered;
      }
    }
    return covered;
  }

  svg::Writer& out_;
  const Panel& panel_;
  const Area& area_;
  const std::vector<double>& epochs_;
  const std::optional<History::Best>& best_;
  size_t max_points_;
  Axis x_;
  Axis y_;
  bool has_values_ = false;
};

}  // namespace

std::vector<Panel> panels_of(const History& history) {
  std::vector<Panel> panels;
  const auto names = history.names();
  for (const std::string& name : names) {
    const auto parts = stage_and_quantity(name, names);
    const auto& stage = parts.first;
    const auto& quantity = parts.second;
    auto panel =
        std::find_if(panels.begin(), panels.end(), [&](const Panel& each) { return each.quantity == quantity; });
    if (panel == panels.end()) panel = panels.insert(panels.end(), Panel{.quantity = quantity});
    Look look = validation;
    if (stage == "train") {
      look = training;
    } else if (stage != "val" && !stage.empty()) {
      const auto used = std::count_if(panel->curves.begin(), panel->curves.end(), [](const Curve& each) {
        return each.stage != "train" && each.stage != "val" && !each.stage.empty();
      });
      look = others[static_cast<size_t>(used) % others.size()];
    }
    panel->curves.push_back({.name = name, .stage = stage, .look = look, .values = history[name]});
  }
  return panels;
}

void draw_panel(svg::Writer& out, const Panel& panel, const Area& area, const std::vector<double>& epochs,
                const std::optional<History::Best>& best, size_t max_points) {
  Drawing(out, panel, area, epochs, best, max_points).draw();
}

}  // namespace athanor::plot
