// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/layer_figures.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/figure_axes.hpp"
#include "athanor/track/picture.hpp"
#include "athanor/track/tiles.hpp"
#include "athanor/train/layer_capture.hpp"
#include "athanor/train/task.hpp"

namespace athanor {
namespace {

constexpr int64_t shown_inputs = 8;

at::Tensor finite_layer_numbers(const at::Tensor& given, bool shaped, const char* where, const char* expected) {
  if (!given.defined() || !given.is_floating_point() || given.numel() == 0 || !shaped) {
    throw Error({.what = "this tensor can't be shown as pictures of a layer",
                 .where = where,
                 .got = describe(given),
                 .expected = expected});
  }
  at::Tensor numbers = given.detach().to(at::kCPU, at::kFloat).contiguous();
  const auto broken = numbers.isfinite().logical_not().sum().item<int64_t>();
  if (broken > 0) {
    throw Error({.what = "a layer holds numbers that are not finite",
                 .where = where,
                 .got = std::to_string(broken) + " of " + std::to_string(numbers.numel()),
                 .expected = "finite numbers",
                 .todo = "athanor::LayerWatch finds where they come from"});
  }
  return numbers;
}

/// (h, w) as a picture, -1 … 1 blue to red, or 0 … 1 dark to bright.
at::Tensor coloured_plane(const at::Tensor& plane, double scale, bool is_signed, Theme theme) {
  const at::Tensor own = plane.contiguous();
  const int64_t places = own.numel();
  const float* value = own.const_data_ptr<float>();
  at::Tensor pixels = at::empty({3, own.size(0), own.size(1)}, at::TensorOptions().dtype(at::kByte));
  uint8_t* bytes = pixels.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < places; ++i) {
    const double share = scale > 0 ? value[i] / scale : 0;
    const draw::Colour colour = is_signed ? draw::diverging_colour(theme, share) : draw::heat_colour(share);
    bytes[i] = colour.red;
    bytes[places + i] = colour.green;
    bytes[2 * places + i] = colour.blue;
  }
  return pixels;
}

double greatest_magnitude(const at::Tensor& numbers) { return numbers.abs().max().item<double>(); }

std::string how_many(int64_t shown, int64_t all, const char* what) {
  return (shown < all ? std::to_string(shown) + " of " : std::string()) + std::to_string(all) + " " + what;
}

int64_t most_shown(int64_t most, int64_t there, const char* where) {
  if (most < 1) {
    throw Error({.what = "nothing is to be shown",
                 .where = where,
                 .got = ".most = " + std::to_string(most),
                 .expected = "1 or more"});
  }
  return std::min(most, there);
}

// ---- histograms

/// Numbers of equal stretches, as heights from 0 to 1: what a histogram with bins of any width looks like.
struct LevelBins {
  double low = 0, high = 1;
  std::vector<double> heights;
};

struct SpreadBin {
  double low, high, count;
};

LevelBins level_bins(const std::vector<SpreadBin>& bins, double low, double high, size_t count) {
  LevelBins level{.low = low, .high = high, .heights = std::vector<double>(count, 0)};
  const double step = (high - low) / static_cast<double>(count);
  for (const SpreadBin& bin : bins) {
    const double width = bin.high - bin.low;
    const auto place = [&](double value) {
      return static_cast<size_t>(std::clamp((value - low) / step, 0.0, static_cast<double>(count) - 1));
    };
    for (size_t i = place(bin.low); i <= place(bin.high); ++i) {
      const double from = std::max(bin.low, low + step * static_cast<double>(i));
      const double to = std::min(bin.high, low + step * static_cast<double>(i + 1));
      if (width > 0 && to > from) level.heights[i] += bin.count * (to - from) / width;
      if (width <= 0 && i == place(bin.low)) level.heights[i] += bin.count;
    }
  }
  const double most = *std::max_element(level.heights.begin(), level.heights.end());
  for (double& height : level.heights) height = most > 0 ? height / most : 0;
  return level;
}

/// Heights as one outline, so that no seams are seen between them.
void draw_level_bins(Figure& figure, const LevelBins& level, const plot::Area& area, const draw::Colour& colour) {
  draw::Polygon outline{.corners = {{area.left, area.bottom()}}, .fill = colour};
  const double step = area.width / static_cast<double>(level.heights.size());
  for (size_t i = 0; i < level.heights.size(); ++i) {
    const double y = area.bottom() - level.heights[i] * area.height;
    outline.corners.push_back({area.left + step * static_cast<double>(i), y});
    outline.corners.push_back({area.left + step * static_cast<double>(i + 1), y});
  }
  outline.corners.push_back({area.right(), area.bottom()});
  figure.add(std::move(outline));
}

/// A small histogram with its mean and spread in words.
void draw_statistics(Figure& figure, const TensorStatistics& statistics, const plot::Area& area,
                     const draw::Colour& colour, const std::string& more) {
  const draw::ThemeColours& colours = draw::colours_of(figure.theme());
  figure.add(draw::Stroke{.places = {{area.left, area.bottom() + 0.5}, {area.right(), area.bottom() + 0.5}},
                          .colour = colours.grid});
  const std::string words = format_number(statistics.mean, 3) + " ± " + format_number(statistics.standard_deviation, 3);
  figure.add(draw::label(area.left, area.bottom() + 15, "start", words + more, 11, colours.soft_ink, area.width + 20));
  if (statistics.count <= statistics.non_finite) return;
  const double reach = std::max(4 * statistics.standard_deviation, 1e-12);
  double low = std::max(statistics.minimum, statistics.mean - reach);
  double high = std::min(statistics.maximum, statistics.mean + reach);
  if (!(high > low)) {
    low -= 0.5;
    high += 0.5;
  }
  std::vector<SpreadBin> bins;
  for (const HistogramBin& bin : statistics.histogram) {
    bins.push_back({std::max(bin.low, statistics.minimum), std::min(bin.high, statistics.maximum),
                    static_cast<double>(bin.count)});
  }
  draw_level_bins(figure, level_bins(bins, low, high, 48), area, colour);
  if (low < 0 && high > 0) {
    const double zero = area.left - low / (high - low) * area.width;
    figure.add(draw::Stroke{.places = {{zero, area.top}, {zero, area.bottom()}}, .colour = colours.axis});
  }
}

}  // namespace

Figure filter_figure(const at::Tensor& weights, const FilterFigureOptions& options) {
  const at::NoGradGuard no_grad;
  const bool shaped = weights.defined() && (weights.dim() == 4 || weights.dim() == 2);
  const at::Tensor numbers =
      finite_layer_numbers(weights, shaped, "filter_figure", "floating (O, I, h, w) of a convolution, or (O, I)");
  const double scale = greatest_magnitude(numbers);
  draw::TileLook look{.title = options.title, .size = static_cast<double>(options.tile), .theme = options.theme};
  std::vector<draw::Tile> tiles;
  const std::string scaled = " · greatest magnitude " + format_number(scale);
  if (numbers.dim() == 2) {
    tiles.push_back({.pixels = coloured_plane(numbers, scale, true, options.theme)});
    look.size = std::max(look.size, 480.0);
    look.summary =
        std::to_string(numbers.size(0)) + " outputs by " + std::to_string(numbers.size(1)) + " inputs" + scaled;
    return draw::tile_figure(tiles, look);
  }
  const int64_t filters = most_shown(options.most, numbers.size(0), "FilterFigureOptions::most");
  const int64_t inputs = numbers.size(1);
  look.summary = how_many(filters, numbers.size(0), "filters") + " of " + std::to_string(inputs) + " channels" + scaled;
  if (inputs == 3) {
    const at::Tensor colours = scale > 0 ? numbers / (2 * scale) + 0.5 : numbers + 0.5;
    for (int64_t i = 0; i < filters; ++i) {
      tiles.push_back({.pixels = colours[i].mul(255).round().clamp(0, 255).to(at::kByte).contiguous()});
    }
    return draw::tile_figure(tiles, look);
  }
  const int64_t shown = std::min(inputs, shown_inputs);
  for (int64_t i = 0; i < filters; ++i) {
    for (int64_t j = 0; j < shown; ++j) {
      tiles.push_back({.pixels = coloured_plane(numbers[i][j], scale, true, options.theme)});
    }
  }
  if (inputs > 1) look.columns = shown * std::max<int64_t>(1, std::min<int64_t>(16 / shown, filters));
  return draw::tile_figure(tiles, look);
}

Figure activation_figure(const at::Tensor& activations, const ActivationFigureOptions& options) {
  const at::NoGradGuard no_grad;
  const bool shaped = activations.defined() && activations.dim() >= 1 && activations.dim() <= 3;
  const at::Tensor numbers = finite_layer_numbers(activations, shaped, "activation_figure",
                                                  "floating (K, h, w), (T, K) or (K), of one sample");
  const double least = numbers.min().item<double>(), most = numbers.max().item<double>();
  const bool is_signed = least < 0;
  const double scale = is_signed ? std::max(-least, most) : most;
  draw::TileLook look{.title = options.title, .size = static_cast<double>(options.tile), .theme = options.theme};
  const std::string scaled = " · " + format_number(least) + " to " + format_number(most);
  std::vector<draw::Tile> tiles;
  if (numbers.dim() < 3) {
    const at::Tensor plane = numbers.dim() == 1 ? numbers.unsqueeze(0) : numbers;
    tiles.push_back({.pixels = coloured_plane(plane, scale, is_signed, options.theme)});
    look.size = std::max(look.size, 480.0);
    look.summary = std::to_string(plane.size(1)) + " units" +
                   (numbers.dim() == 2 ? " at " + std::to_string(plane.size(0)) + " places" : std::string()) + scaled;
    return draw::tile_figure(tiles, look);
  }
  const int64_t channels = most_shown(options.most, numbers.size(0), "ActivationFigureOptions::most");
  for (int64_t i = 0; i < channels; ++i) {
    tiles.push_back({.pixels = coloured_plane(numbers[i], scale, is_signed, options.theme)});
  }
  look.summary = how_many(channels, numbers.size(0), "channels") + scaled;
  return draw::tile_figure(tiles, look);
}

at::Tensor layer_output(Task& task, const std::string& layer, const Batch& batch) {
  const EvalMode eval(task.nets());
  const at::NoGradGuard no_grad;
  LayerCapture capture(task.nets(), layer);
  capture.run([&] {
    StepContext context(Stage::predict, 0, 0, 0);
    return task.predict_step(batch, context).predictions.first_tensor();
  });
  return capture.values();
}

Figure histogram_figure(const events::Histogram& histogram, const HistogramFigureOptions& options) {
  const auto& edges = histogram.edges;
  const bool fits = !histogram.counts.empty() && edges.size() == histogram.counts.size() + 1 &&
                    std::is_sorted(edges.begin(), edges.end()) && edges.front() < edges.back();
  if (!fits) {
    throw Error(
        {.what = "this histogram can't be drawn",
         .where = "histogram_figure",
         .got = std::to_string(edges.size()) + " edges and " + std::to_string(histogram.counts.size()) + " counts",
         .expected = "rising edges, one more than counts"});
  }
  std::vector<SpreadBin> bins;
  for (size_t i = 0; i < histogram.counts.size(); ++i) bins.push_back({edges[i], edges[i + 1], histogram.counts[i]});
  const double low = std::max(edges.front(), std::min(histogram.minimum, histogram.maximum));
  const double high = std::min(edges.back(), std::max(histogram.minimum, histogram.maximum));
  const bool narrow = !(high > low);
  std::string summary = options.summary;
  if (summary.empty()) {
    summary = format_number(histogram.count) + " numbers · mean " +
              format_number(histogram.count > 0 ? histogram.sum / histogram.count : 0) + " · " +
              format_number(histogram.minimum) + " to " + format_number(histogram.maximum);
  }
  const plot::Area area{plot::page_margin + 12, plot::header_height + 16, 520, 220};
  Figure figure(area.right() + plot::page_margin + 12, area.bottom() + plot::room_bottom + plot::page_margin / 2,
                options.title, summary, options.theme);
  const LevelBins level = level_bins(bins, narrow ? edges.front() : low, narrow ? edges.back() : high, 100);
  plot::Axis across = plot::value_axis({level.low, level.high}, 6);
  across.low = level.low;
  across.high = level.high;
  for (size_t i = across.ticks.size(); i-- > 0;) {
    if (across.ticks[i] >= level.low && across.ticks[i] <= level.high) continue;
    across.ticks.erase(across.ticks.begin() + static_cast<std::ptrdiff_t>(i));
    across.labels.erase(across.labels.begin() + static_cast<std::ptrdiff_t>(i));
  }
  draw::draw_axes(figure, area, across, plot::Axis{}, options.name);
  draw_level_bins(figure, level, area, draw::colours_of(options.theme).strong);
  return figure;
}

Figure layer_statistics_figure(const LayerSnapshot& snapshot, const LayerStatisticsFigureOptions& options) {
  constexpr double column = 190, gap = 26, line_height = 62, names = 150;
  struct Line {
    const ParameterReport* parameter = nullptr;
    const ActivationReport* activation = nullptr;
    const LayerReport* layer = nullptr;
  };
  std::vector<Line> lines;
  for (const LayerReport& layer : snapshot.layers) {
    const size_t count = std::max(layer.parameters.size(), layer.activations.size());
    for (size_t i = 0; i < count; ++i) {
      lines.push_back({i < layer.parameters.size() ? &layer.parameters[i] : nullptr,
                       i < layer.activations.size() ? &layer.activations[i] : nullptr, &layer});
    }
  }
  const auto all = static_cast<int64_t>(lines.size());
  const int64_t shown = most_shown(options.most, all, "LayerStatisticsFigureOptions::most");
  lines.resize(static_cast<size_t>(shown));
  const draw::ThemeColours& colours = draw::colours_of(options.theme);
  const double first = plot::page_margin + names + 12;
  std::string summary = "step " + std::to_string(snapshot.step) + ", epoch " + std::to_string(snapshot.epoch) +
                        " · gradient norm " + format_number(snapshot.gradient_norm) + " · update ratio " +
                        format_number(snapshot.update_ratio);
  if (shown < all) summary += " · " + std::to_string(shown) + " of " + std::to_string(all) + " lines";
  const double top = plot::header_height + 26;
  Figure figure(first + 3 * (column + gap) + plot::page_margin - gap,
                top + static_cast<double>(shown) * line_height + plot::page_margin / 2, options.title, summary,
                options.theme);
  const char* const headings[] = {"weights", "gradients", "activations"};
  for (int i = 0; i < 3; ++i) {
    figure.add(
        draw::label(first + i * (column + gap), top - 12, "start", headings[i], 12, colours.soft_ink, column, true));
  }
  double y = top;
  for (const Line& line : lines) {
    const std::string& name = line.parameter != nullptr ? line.parameter->name : line.activation->name;
    figure.add(draw::label(plot::page_margin, y + 24, "start", name, 12, colours.ink, names));
    figure.add(draw::label(plot::page_margin, y + 39, "start", line.layer->type, 11, colours.soft_ink, names));
    const auto area = [&](int i) { return plot::Area{first + i * (column + gap), y + 4, column, 32}; };
    if (line.parameter != nullptr && line.parameter->weights) {
      std::string more;
      if (line.parameter->update_ratio) more = " · update " + format_number(*line.parameter->update_ratio);
      draw_statistics(figure, *line.parameter->weights, area(0), draw::class_colour(options.theme, 0), more);
    }
    if (line.parameter != nullptr && line.parameter->gradients) {
      draw_statistics(figure, *line.parameter->gradients, area(1), draw::class_colour(options.theme, 1), {});
    }
    if (line.activation != nullptr) {
      std::string more;
      if (line.activation->dead > 0) more += " · " + std::to_string(line.activation->dead) + " dead";
      if (line.activation->saturated > 0) more += " · " + std::to_string(line.activation->saturated) + " saturated";
      if (line.activation->name != line.layer->name) more += " · " + line.activation->name;
      draw_statistics(figure, line.activation->values, area(2), draw::class_colour(options.theme, 2), more);
    }
    y += line_height;
  }
  return figure;
}

}  // namespace athanor
