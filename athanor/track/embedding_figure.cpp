// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/embedding_figure.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <set>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/track/figure_axes.hpp"
#include "athanor/track/picture.hpp"

namespace athanor {
namespace {

at::Tensor finite_matrix(const at::Tensor& given, const char* what, const char* where) {
  if (!given.defined() || !given.is_floating_point() || given.dim() < 2 || given.numel() == 0) {
    throw Error({.what = std::string(what) + " are not rows of numbers",
                 .where = where,
                 .got = describe(given),
                 .expected = "floating, (N, D)"});
  }
  at::Tensor matrix = given.detach().to(at::kCPU, at::kDouble).flatten(1);
  const at::Tensor broken = matrix.isfinite().all(1).logical_not();
  if (broken.any().item<bool>()) {
    throw Error({.what = std::string(what) + " hold numbers that are not finite",
                 .where = std::string(where) + ", sample " + std::to_string(broken.nonzero()[0].item<int64_t>()),
                 .got = std::to_string(broken.sum().item<int64_t>()) + " of " + std::to_string(matrix.size(0)) +
                        " samples hold NaN or infinity",
                 .expected = "finite numbers"});
  }
  return matrix;
}

void draw_marker(Figure& figure, double x, double y, size_t number, double radius) {
  const draw::ThemeColours& colours = draw::colours_of(figure.theme());
  const draw::Colour fill = draw::class_colour(figure.theme(), number).with_alpha(0.82);
  switch (number / draw::class_colour_count % 3) {
    case 0:
      figure.add(draw::Circle{.x = x, .y = y, .radius = radius, .fill = fill});
      return;
    case 1:
      figure.add(draw::Box{.x = x - radius * 0.9,
                           .y = y - radius * 0.9,
                           .width = radius * 1.8,
                           .height = radius * 1.8,
                           .fill = fill,
                           .edge = colours.page,
                           .pen = 0.5});
      return;
    default:
      figure.add(draw::Polygon{
          .corners = {{x, y - radius * 1.3}, {x + radius * 1.2, y + radius}, {x - radius * 1.2, y + radius}},
          .fill = fill});
  }
}

struct ScatterClasses {
  std::vector<int64_t> of_points;  // empty: none
  std::vector<int64_t> there;      // each once, rising
};

ScatterClasses read_classes(const ScatterFigureOptions& options, int64_t points) {
  ScatterClasses classes;
  if (!options.classes.defined()) return classes;
  if (options.classes.is_floating_point() || options.classes.numel() != points) {
    throw Error({.what = "the classes are not one for each point",
                 .where = "ScatterFigureOptions::classes",
                 .got = describe(options.classes),
                 .expected = "whole numbers (" + std::to_string(points) + ")"});
  }
  const at::Tensor host = options.classes.detach().to(at::kCPU, at::kLong).flatten().contiguous();
  const int64_t* data = host.const_data_ptr<int64_t>();
  classes.of_points.assign(data, data + points);
  const std::set<int64_t> each(classes.of_points.begin(), classes.of_points.end());
  classes.there.assign(each.begin(), each.end());
  const auto named = static_cast<int64_t>(options.names.size());
  if (*each.begin() < 0 || (named > 0 && *each.rbegin() >= named)) {
    throw Error({.what = "a class has no name or is negative",
                 .where = "ScatterFigureOptions::classes",
                 .got = std::to_string(*each.begin()) + " to " + std::to_string(*each.rbegin()),
                 .expected = named > 0 ? "0 to " + std::to_string(named - 1) : "0 or more"});
  }
  return classes;
}

}  // namespace

PrincipalComponents principal_components(const at::Tensor& embeddings, int64_t k) {
  const at::NoGradGuard no_grad;
  const at::Tensor matrix = finite_matrix(embeddings, "embeddings", "principal_components");
  const int64_t samples = matrix.size(0), most = std::min(samples, matrix.size(1));
  if (samples < 2 || k < 1 || k > most) {
    throw Error({.what = "there are not so many principal components",
                 .where = "principal_components",
                 .got = std::to_string(k) + " of " + describe(embeddings),
                 .expected = samples < 2 ? "two samples or more" : "1 to " + std::to_string(most)});
  }
  PrincipalComponents result;
  result.mean = matrix.mean(0);
  const at::Tensor centred = matrix - result.mean;
  const auto [left, values, right] = at::linalg_svd(centred, /*full_matrices=*/false);
  at::Tensor components = right.slice(0, 0, k);
  const at::Tensor strongest = components.gather(1, components.abs().argmax(1, /*keepdim=*/true));
  components = components * strongest.sign();
  result.components = components.contiguous();
  result.points = centred.matmul(components.t());
  const at::Tensor variance = values.square() / static_cast<double>(samples - 1);
  result.variance = variance.slice(0, 0, k).contiguous();
  const auto whole = variance.sum().item<double>();
  result.share = whole > 0 ? result.variance / whole : at::zeros_like(result.variance);
  return result;
}

Figure scatter_figure(const at::Tensor& points, const ScatterFigureOptions& options) {
  const at::NoGradGuard no_grad;
  const at::Tensor matrix = finite_matrix(points, "points", "scatter_figure").contiguous();
  if (matrix.size(1) != 2 || options.width < 200 || options.height < 140) {
    throw Error({.what = "the scatter can't be drawn",
                 .where = "scatter_figure",
                 .got = describe(points) + " on " + std::to_string(options.width) + " by " +
                        std::to_string(options.height) + " pixels",
                 .expected = "(N, 2), on 200 by 140 or more"});
  }
  const int64_t count = matrix.size(0);
  const ScatterClasses classes = read_classes(options, count);
  const draw::ThemeColours& colours = draw::colours_of(options.theme);
  const double* place = matrix.const_data_ptr<double>();
  std::vector<double> across, up;
  for (int64_t i = 0; i < count; ++i) {
    across.push_back(place[2 * i]);
    up.push_back(place[2 * i + 1]);
  }
  const double legend = classes.there.empty() ? 0 : 140;
  const plot::Area area{plot::page_margin + plot::room_left, plot::header_height + plot::room_top,
                        static_cast<double>(options.width), static_cast<double>(options.height)};
  const double legend_height = 20 * static_cast<double>(classes.there.size());
  const double bottom = std::max(area.bottom() + plot::room_bottom, area.top + legend_height) + plot::page_margin / 2;
  const std::string summary = options.summary.empty() ? std::to_string(count) + " samples" : options.summary;
  Figure figure(area.right() + legend + plot::page_margin, bottom, options.title, summary, options.theme);
  const plot::Axis x = plot::value_axis(across, options.width / 80), y = plot::value_axis(up, options.height / 70);
  for (const double tick : x.ticks) {
    const double at = area.left + x.place(tick) * area.width;
    figure.add(draw::Stroke{.places = {{at, area.top}, {at, area.bottom()}}, .colour = colours.grid});
  }
  draw::draw_axes(figure, area, x, y, options.across, options.up);
  const double radius = count > 3000 ? 2 : count > 500 ? 2.8 : 4;
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    const size_t number = classes.of_points.empty() ? 0 : static_cast<size_t>(classes.of_points[at]);
    draw_marker(figure, area.left + x.place(across[at]) * area.width, area.bottom() - y.place(up[at]) * area.height,
                number, radius);
  }
  double line = area.top + 6;
  for (const int64_t number : classes.there) {
    const auto at = static_cast<size_t>(number);
    draw_marker(figure, area.right() + 22, line, at, 5);
    figure.add(draw::label(area.right() + 34, line + 4, "start",
                           options.names.empty() ? std::to_string(number) : options.names[at], 12, colours.ink,
                           legend - 24));
    line += 20;
  }
  return figure;
}

Figure embedding_figure(const at::Tensor& embeddings, ScatterFigureOptions options) {
  const PrincipalComponents components = principal_components(embeddings, 2);
  const auto axis = [&](int64_t i) {
    return "component " + std::to_string(i + 1) + ", " + format_number(100 * components.share[i].item<double>(), 1) +
           " % of the variance";
  };
  if (options.across.empty()) options.across = axis(0);
  if (options.up.empty()) options.up = axis(1);
  if (options.summary.empty()) {
    options.summary = std::to_string(components.points.size(0)) + " samples in " +
                      std::to_string(components.mean.size(0)) + " dimensions, by principal components";
  }
  return scatter_figure(components.points, options);
}

}  // namespace athanor
