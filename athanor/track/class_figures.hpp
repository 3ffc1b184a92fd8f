// SPDX-License-Identifier: Apache-2.0
// Which classes a model confuses, and how well it does on each.
//
//     athanor::confusion_figure(report->table(), {.normalize = athanor::metrics::Normalize::target}).save("c.svg");
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "athanor/callbacks/class_report.hpp"
#include "athanor/track/figure.hpp"

namespace athanor {

struct ConfusionFigureOptions {
  std::string title = "Confusion matrix";
  /// What the numbers are: counts, or shares of their row, column or the whole. The colours always are shares of the
  /// row, what became of a class, unless columns are divided by.
  metrics::Normalize normalize = metrics::Normalize::none;
  /// Of the classes; for a matrix alone. Empty: the numbers.
  std::vector<std::string> names{};
  Theme theme = Theme::light;
};

/// A matrix (C, C), rows targets, columns predictions: what is right in one colour and mistakes in another, so that
/// they are seen beside a full diagonal. Up to 30 classes have their numbers written into the cells; more are a picture
/// with a pixel or more for each cell.
///
/// Throws Error for another shape, negative numbers, and names for another number of classes.
[[nodiscard]] Figure confusion_figure(const at::Tensor& confusion, const ConfusionFigureOptions& options = {});
/// With the names, the pass and the accuracy of the table.
[[nodiscard]] Figure confusion_figure(const ClassTable& table, const ConfusionFigureOptions& options = {});

struct ClassScoresFigureOptions {
  std::string title = "Classes";
  /// The classes with the lowest F1 first; false: in their order.
  bool worst_first = true;
  /// At most so many are shown; the summary says how many there are.
  int64_t most = 40;
  Theme theme = Theme::light;
};

/// A line for each class: precision and recall as two marks on a scale from 0 to 1 with what lies between them, F1, and
/// the number of samples.
[[nodiscard]] Figure class_scores_figure(const ClassTable& table, const ClassScoresFigureOptions& options = {});

/// The same numbers as a Markdown table, for events::Text.
[[nodiscard]] std::string class_markdown(const ClassTable& table);

}  // namespace athanor
