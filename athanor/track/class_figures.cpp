// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/class_figures.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/picture.hpp"
#include "athanor/track/svg.hpp"

namespace athanor {
namespace {

constexpr int64_t most_written_classes = 30;
constexpr double name_size = 12;

/// A confusion matrix as it is shown.
struct ShownMatrix {
  int64_t classes = 0;
  std::vector<double> counts;   // (C, C)
  std::vector<double> of_rows;  // the sum of each
  std::vector<double> of_columns;
  double all = 0, right = 0;

  [[nodiscard]] double count(int64_t row, int64_t column) const {
    return counts[static_cast<size_t>(row * classes + column)];
  }
  [[nodiscard]] double share(int64_t row, int64_t column, metrics::Normalize of) const {
    const double whole = of == metrics::Normalize::all          ? all
                         : of == metrics::Normalize::prediction ? of_columns[static_cast<size_t>(column)]
                                                                : of_rows[static_cast<size_t>(row)];
    return whole > 0 ? count(row, column) / whole : 0;
  }
};

ShownMatrix read_matrix(const at::Tensor& confusion) {
  if (!confusion.defined() || confusion.dim() != 2 || confusion.size(0) != confusion.size(1) ||
      confusion.numel() == 0) {
    throw Error({.what = "this is not a confusion matrix",
                 .where = "confusion_figure",
                 .got = describe(confusion),
                 .expected = "(C, C)"});
  }
  const at::Tensor host = confusion.detach().to(at::kCPU, at::kDouble).contiguous();
  const double* data = host.const_data_ptr<double>();
  ShownMatrix matrix{.classes = host.size(0), .counts = {data, data + host.numel()}, .of_rows = {}, .of_columns = {}};
  const auto classes = static_cast<size_t>(matrix.classes);
  matrix.of_rows.resize(classes);
  matrix.of_columns.resize(classes);
  for (size_t i = 0; i < matrix.counts.size(); ++i) {
    const double count = matrix.counts[i];
    if (!(count >= 0) || !std::isfinite(count)) {
      throw Error(
          {.what = "a confusion matrix holds a number that is no count",
           .where = "confusion_figure, row " + std::to_string(i / classes) + ", column " + std::to_string(i % classes),
           .got = shortest(count),
           .expected = "0 or more"});
    }
    matrix.of_rows[i / classes] += count;
    matrix.of_columns[i % classes] += count;
    matrix.all += count;
    if (i / classes == i % classes) matrix.right += count;
  }
  return matrix;
}

draw::Colour cell_colour(Theme theme, double share, bool right) {
  const draw::ThemeColours& colours = draw::colours_of(theme);
  // Mistakes are rare in a good model: the root lets a few percent be seen.
  const double strength = right ? share : std::sqrt(share);
  if (!(strength > 0)) return colours.page;
  return draw::mix_colours(colours.page, right ? colours.strong : colours.alarm, std::min(strength, 1.0));
}

std::string written_cell(const ShownMatrix& matrix, int64_t row, int64_t column, metrics::Normalize normalize) {
  const double count = matrix.count(row, column);
  if (count == 0) return {};
  if (normalize == metrics::Normalize::none) return format_number(count, 2);
  const double percent = 100 * matrix.share(row, column, normalize);
  if (percent > 0 && percent < 0.05) return "<.1";
  char text[32];
  std::snprintf(text, sizeof text, percent >= 9.95 || percent == std::round(percent) ? "%.0f" : "%.1f", percent);
  return text;
}

/// Of a page for what is drawn, widened for its summary as far as that looks well.
double class_page_width(double drawn, const std::string& summary) {
  return std::max(drawn, std::min(svg::text_width(summary, 13) + 2 * plot::page_margin, 760.0));
}

class MatrixDrawing {
 public:
  MatrixDrawing(const ShownMatrix& matrix, const std::vector<std::string>& names, const ConfusionFigureOptions& options)
      : matrix_(matrix), names_(names), options_(options), colours_(draw::colours_of(options.theme)) {
    written_ = matrix.classes <= most_written_classes;
    double longest = 0;
    for (const std::string& name : names) longest = std::max(longest, svg::text_width(name, name_size));
    size_t widest = 1;
    for (int64_t i = 0; i < matrix.classes * matrix.classes; ++i) {
      widest = std::max(widest, written_cell(matrix, i / matrix.classes, i % matrix.classes, options.normalize).size());
    }
    if (written_) {
      cell_ = std::max({static_cast<double>(widest) * 7.0 + 10, 30.0, matrix.classes <= 6 ? 56.0 : 0.0});
    } else {
      cell_ = std::max(1.0, std::floor(560.0 / static_cast<double>(matrix.classes)));
    }
    left_ = plot::page_margin + 18 + (written_ ? std::min(longest, 150.0) + 8 : 36);
    turned_ = longest > cell_ - 4;
    top_ = plot::header_height + 20 + (turned_ ? std::min(longest, 150.0) * 0.72 + 12 : 18);
    side_ = cell_ * static_cast<double>(matrix.classes);
    right_room_ = turned_ && !names.empty() ? std::min(svg::text_width(names.back(), name_size), 150.0) * 0.72 : 0;
  }

  Figure draw(const std::string& summary) {
    const double drawn = left_ + side_ + std::max(plot::page_margin, right_room_);
    const double width = class_page_width(std::max(drawn, 380.0), summary);
    Figure figure(width, top_ + side_ + plot::page_margin + 26, options_.title, summary, options_.theme);
    figure.add(
        draw::label(left_, plot::header_height + 6, "start", "predicted →", 11.5, colours_.soft_ink, side_ + 60));
    figure.add(draw::Text{.x = plot::page_margin + 8,
                          .y = top_ + side_ / 2,
                          .anchor = "middle",
                          .text = "target",
                          .size = 11.5,
                          .colour = colours_.soft_ink,
                          .turn = -90});
    if (written_) {
      draw_cells(figure);
      draw_names(figure);
    } else {
      draw_as_picture(figure);
    }
    figure.add(draw::Box{.x = left_, .y = top_, .width = side_, .height = side_, .edge = colours_.axis});
    draw_key(figure);
    return figure;
  }

 private:
  [[nodiscard]] double strength(int64_t row, int64_t column) const {
    const bool of_columns = options_.normalize == metrics::Normalize::prediction;
    return matrix_.share(row, column, of_columns ? metrics::Normalize::prediction : metrics::Normalize::target);
  }

  void draw_cells(Figure& figure) const {
    for (int64_t row = 0; row < matrix_.classes; ++row) {
      for (int64_t column = 0; column < matrix_.classes; ++column) {
        const double x = left_ + static_cast<double>(column) * cell_, y = top_ + static_cast<double>(row) * cell_;
        const draw::Colour fill = cell_colour(options_.theme, strength(row, column), row == column);
        figure.add(draw::Box{.x = x + 0.5, .y = y + 0.5, .width = cell_ - 1, .height = cell_ - 1, .fill = fill});
        const std::string text = written_cell(matrix_, row, column, options_.normalize);
        if (text.empty()) continue;
        const bool on_dark = fill.lightness() < 0.55;
        const draw::Colour ink = on_dark ? draw::Colour{255, 255, 255} : draw::Colour{20, 26, 34};
        const double room = cell_ - 4;
        const double size = std::min(12.5, 12.5 * room / std::max(svg::text_width(text, 12.5), 1.0));
        figure.add(draw::Text{.x = x + cell_ / 2,
                              .y = y + cell_ / 2 + size * 0.36,
                              .anchor = "middle",
                              .text = text,
                              .size = size,
                              .colour = ink});
      }
    }
  }

  void draw_names(Figure& figure) const {
    for (int64_t i = 0; i < matrix_.classes; ++i) {
      const std::string& name = names_[static_cast<size_t>(i)];
      const double middle = (static_cast<double>(i) + 0.5) * cell_;
      figure.add(draw::label(left_ - 8, top_ + middle + 4, "end", name, name_size, colours_.ink, 150));
      draw::Text above = draw::label(left_ + middle + (turned_ ? 4 : 0), top_ - 8, turned_ ? "start" : "middle", name,
                                     name_size, colours_.ink, turned_ ? 150 : cell_);
      above.turn = turned_ ? -45 : 0;
      figure.add(above);
    }
  }

  void draw_as_picture(Figure& figure) const {
    const int64_t classes = matrix_.classes;
    at::Tensor pixels = at::empty({3, classes, classes}, at::TensorOptions().dtype(at::kByte));
    uint8_t* bytes = pixels.mutable_data_ptr<uint8_t>();
    for (int64_t row = 0; row < classes; ++row) {
      for (int64_t column = 0; column < classes; ++column) {
        const draw::Colour colour = cell_colour(options_.theme, strength(row, column), row == column);
        const int64_t at = row * classes + column;
        bytes[at] = colour.red;
        bytes[classes * classes + at] = colour.green;
        bytes[2 * classes * classes + at] = colour.blue;
      }
    }
    figure.add(draw::Pixels{.x = left_, .y = top_, .width = side_, .height = side_, .pixels = pixels});
    const int64_t stride = (classes + 9) / 10;
    for (int64_t i = 0; i < classes; i += stride) {
      const double middle = (static_cast<double>(i) + 0.5) * cell_;
      figure.add(draw::label(left_ - 6, top_ + middle + 4, "end", std::to_string(i), 11, colours_.soft_ink, 40));
      figure.add(draw::label(left_ + middle, top_ - 6, "middle", std::to_string(i), 11, colours_.soft_ink, 40));
    }
  }

  /// What the colours mean.
  void draw_key(Figure& figure) const {
    const double y = top_ + side_ + 16;
    double x = left_;
    for (const bool right : {true, false}) {
      for (int i = 0; i < 5; ++i) {
        const double share = right ? 0.2 * (i + 1) : 0.04 * (i + 1) * (i + 1);
        figure.add(draw::Box{
            .x = x + 9.0 * i, .y = y, .width = 9, .height = 10, .fill = cell_colour(options_.theme, share, right)});
      }
      const std::string text = right ? "right" : "wrong";
      figure.add(draw::label(x + 51, y + 9, "start", text, 11.5, colours_.soft_ink, 60));
      x += 110;
    }
  }

  const ShownMatrix& matrix_;
  const std::vector<std::string>& names_;
  const ConfusionFigureOptions& options_;
  const draw::ThemeColours& colours_;
  double cell_ = 0, left_ = 0, top_ = 0, side_ = 0, right_room_ = 0;
  bool written_ = true;
  bool turned_ = false;
};

std::string what_numbers_are(metrics::Normalize normalize) {
  switch (normalize) {
    case metrics::Normalize::target:
      return "percent of each target";
    case metrics::Normalize::prediction:
      return "percent of each prediction";
    case metrics::Normalize::all:
      return "percent of all samples";
    case metrics::Normalize::none:
      break;
  }
  return "counts";
}

Figure draw_matrix(const at::Tensor& confusion, std::vector<std::string> names, const std::string& pass,
                   const ConfusionFigureOptions& options) {
  const ShownMatrix matrix = read_matrix(confusion);
  if (!names.empty() && static_cast<int64_t>(names.size()) != matrix.classes) {
    throw Error({.what = "the number of names is not the number of classes",
                 .where = "ConfusionFigureOptions::names",
                 .got = std::to_string(names.size()) + " names",
                 .expected = std::to_string(matrix.classes) + ", one for each class"});
  }
  for (int64_t i = static_cast<int64_t>(names.size()); i < matrix.classes; ++i) names.push_back(std::to_string(i));
  std::string summary = pass;
  summary += (summary.empty() ? "" : " · ") + format_number(matrix.all) + " samples";
  if (matrix.all > 0) summary += " · " + format_number(100 * matrix.right / matrix.all, 2) + " % right";
  return MatrixDrawing(matrix, names, options).draw(summary + " · " + what_numbers_are(options.normalize));
}

std::string pass_of(const ClassTable& table) {
  std::string pass = table.loader.empty() ? stage_name(table.stage) : table.loader;
  if (table.epoch > 0) pass += ", epoch " + std::to_string(table.epoch);
  return pass;
}

std::string four_decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

std::string table_cell(const std::string& name) {
  std::string cell;
  for (const char c : name) cell += c == '|' ? "\\|" : std::string(1, c);
  return cell;
}

}  // namespace

Figure confusion_figure(const at::Tensor& confusion, const ConfusionFigureOptions& options) {
  return draw_matrix(confusion, options.names, {}, options);
}

Figure confusion_figure(const ClassTable& table, const ConfusionFigureOptions& options) {
  std::vector<std::string> names = options.names;
  if (names.empty()) {
    for (const ClassScores& each : table.classes) names.push_back(each.name);
  }
  return draw_matrix(table.confusion, std::move(names), pass_of(table), options);
}

Figure class_scores_figure(const ClassTable& table, const ClassScoresFigureOptions& options) {
  std::vector<ClassScores> lines = table.classes;
  if (lines.empty() || options.most < 1) {
    throw Error({.what = "there are no classes to show",
                 .where = "class_scores_figure",
                 .got = std::to_string(lines.size()) + " classes, .most = " + std::to_string(options.most),
                 .expected = "1 or more of each"});
  }
  if (options.worst_first) {
    std::stable_sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.f1 < b.f1; });
  }
  if (static_cast<int64_t>(lines.size()) > options.most) lines.resize(static_cast<size_t>(options.most));
  double longest = svg::text_width("weighted", name_size);
  for (const ClassScores& each : lines) longest = std::max(longest, svg::text_width(each.name, name_size));
  longest = std::min(longest, 170.0);
  const draw::ThemeColours& colours = draw::colours_of(options.theme);
  constexpr double scale_width = 260, line_height = 22, column = 62;
  const double scale = plot::page_margin + longest + 16;
  const double numbers = scale + scale_width + 20;
  const double top = plot::header_height + 36;
  const auto count = static_cast<double>(lines.size()) + 2;
  std::string summary = pass_of(table) + " · " + std::to_string(table.weighted.support) + " samples · accuracy " +
                        four_decimals(table.accuracy);
  if (lines.size() < table.classes.size()) {
    summary += " · " + std::to_string(lines.size()) + " of " + std::to_string(table.classes.size()) + " classes";
  }
  const double width = class_page_width(numbers + 4 * column + plot::page_margin, summary);
  const double bottom = top + count * line_height + 10;
  Figure figure(width, bottom + plot::page_margin + 14, options.title, summary, options.theme);
  const auto at = [&](double value) { return scale + value * scale_width; };
  for (int i = 0; i <= 4; ++i) {
    figure.add(draw::Stroke{.places = {{at(i * 0.25), top - 8}, {at(i * 0.25), bottom}}, .colour = colours.grid});
    figure.add(draw::label(at(i * 0.25), bottom + 17, "middle", shortest(i * 0.25), 11.5, colours.soft_ink, 60));
  }
  const char* const headings[] = {"precision", "recall", "F1", "samples"};
  for (int i = 0; i < 4; ++i) {
    figure.add(draw::label(numbers + (i + 1) * column, top - 14, "end", headings[i], 11.5, colours.soft_ink, column));
  }
  figure.add(draw::Circle{.x = at(0) + 5, .y = top - 18, .radius = 4.5, .fill = colours.strong});
  figure.add(draw::label(at(0) + 15, top - 14, "start", "precision", 11.5, colours.soft_ink, 80));
  figure.add(draw::Circle{
      .x = at(0) + 89, .y = top - 18, .radius = 4.5, .fill = colours.page, .edge = colours.alarm, .pen = 2.2});
  figure.add(draw::label(at(0) + 99, top - 14, "start", "recall", 11.5, colours.soft_ink, 80));
  double y = top + 8;
  const auto draw_line = [&](const ClassScores& scores, bool mean) {
    figure.add(
        draw::label(scale - 16, y + 4, "end", scores.name, name_size, mean ? colours.soft_ink : colours.ink, longest));
    figure.add(
        draw::Stroke{.places = {{at(scores.precision), y}, {at(scores.recall), y}}, .pen = 4, .colour = colours.weak});
    figure.add(draw::Circle{.x = at(scores.precision), .y = y, .radius = 4.5, .fill = colours.strong});
    figure.add(draw::Circle{
        .x = at(scores.recall), .y = y, .radius = 4.5, .fill = colours.page, .edge = colours.alarm, .pen = 2.2});
    const std::string texts[] = {four_decimals(scores.precision), four_decimals(scores.recall),
                                 four_decimals(scores.f1), std::to_string(scores.support)};
    for (int i = 0; i < 4; ++i) {
      figure.add(draw::label(numbers + (i + 1) * column, y + 4, "end", texts[i], name_size,
                             i == 2 && !mean ? colours.ink : colours.soft_ink, column));
    }
    y += line_height;
  };
  for (const ClassScores& each : lines) draw_line(each, false);
  figure.add(draw::Stroke{
      .places = {{plot::page_margin, y - line_height / 2 + 2}, {width - plot::page_margin, y - line_height / 2 + 2}},
      .colour = colours.axis});
  y += 6;
  draw_line(table.macro, true);
  draw_line(table.weighted, true);
  return figure;
}

std::string class_markdown(const ClassTable& table) {
  std::string text = "**" + pass_of(table) + "**, accuracy " + four_decimals(table.accuracy) + "\n\n";
  text += "| class | precision | recall | F1 | samples |\n|---|---:|---:|---:|---:|\n";
  const auto add = [&](const ClassScores& scores) {
    text += "| " + table_cell(scores.name) + " | " + four_decimals(scores.precision) + " | " +
            four_decimals(scores.recall) + " | " + four_decimals(scores.f1) + " | " + std::to_string(scores.support) +
            " |\n";
  };
  for (const ClassScores& each : table.classes) add(each);
  add(table.macro);
  add(table.weighted);
  return text;
}

}  // namespace athanor
