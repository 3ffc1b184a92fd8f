// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/class_report.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdio>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/utf8.hpp"

namespace athanor {
namespace {

constexpr int64_t largest_shown_matrix = 20;
constexpr int64_t largest_recorded_matrix = 100;

std::string markdown_cell(std::string text) {
  for (char& c : text) {
    if (c == '|' || c == '\n' || c == '\r') c = ' ';
  }
  return text + " |";
}

/// The confusion matrix as a table of Markdown, for trackers.
std::string confusion_markdown(const ClassTable& table) {
  std::string head = "| target, predicted |";
  std::string line = "|---|";
  std::string rows;
  const at::Tensor confusion = table.confusion.contiguous();
  const int64_t* count = confusion.const_data_ptr<int64_t>();
  for (const ClassScores& each : table.classes) {
    head += " " + markdown_cell(each.name);
    line += "---|";
    rows += "\n| " + markdown_cell(each.name);
    for (size_t i = 0; i < table.classes.size(); ++i) rows += " " + std::to_string(*count++) + " |";
  }
  return head + "\n" + line + rows;
}

struct ReportMoments {
  Moment begin, batch, end;
};

ReportMoments report_moments(Stage stage) noexcept {
  switch (stage) {
    case Stage::train:
      return {Moment::epoch_begin, Moment::forward_end, Moment::epoch_end};
    case Stage::validation:
      return {Moment::validation_begin, Moment::validation_batch_end, Moment::validation_end};
    case Stage::test:
      return {Moment::test_begin, Moment::test_batch_end, Moment::test_end};
    case Stage::predict:
      break;
  }
  return {Moment::predict_begin, Moment::predict_batch_end, Moment::predict_end};
}

double class_quotient(double a, double b) { return b == 0 ? 0 : a / b; }

std::string right_aligned(const std::string& text, size_t width) {
  const size_t own = count_characters(text);
  return std::string(own < width ? width - own : 0, ' ') + text;
}

std::string left_aligned(const std::string& text, size_t width) {
  const size_t own = count_characters(text);
  return text + std::string(own < width ? width - own : 0, ' ');
}

std::string fixed4(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

std::string scores_line(const ClassScores& scores, size_t name_width) {
  return left_aligned(scores.name, name_width) + right_aligned(fixed4(scores.precision), 11) +
         right_aligned(fixed4(scores.recall), 11) + right_aligned(fixed4(scores.f1), 11) +
         right_aligned(std::to_string(scores.support), 11) + "\n";
}

}  // namespace

ClassTable class_table(const at::Tensor& confusion, const std::vector<std::string>& names) {
  if (!confusion.defined() || confusion.dim() != 2 || confusion.size(0) != confusion.size(1) ||
      confusion.numel() == 0) {
    throw Error({.what = "this is not a confusion matrix", .got = describe(confusion), .expected = "(C, C)"});
  }
  ClassTable table;
  table.confusion = confusion.detach().to(at::kCPU, at::kLong).contiguous();
  const int64_t classes = table.confusion.size(0);
  if (!names.empty() && static_cast<int64_t>(names.size()) != classes) {
    throw Error({.what = "the number of names is not the number of classes",
                 .where = "names of classes",
                 .got = std::to_string(names.size()) + " names",
                 .expected = std::to_string(classes) + ", one for each class"});
  }
  const int64_t* count = table.confusion.const_data_ptr<int64_t>();
  int64_t all = 0;
  int64_t all_right = 0;
  int64_t occurring = 0;
  table.macro.name = "macro";
  table.weighted.name = "weighted";
  for (int64_t c = 0; c < classes; ++c) {
    int64_t targets = 0;
    int64_t predicted = 0;
    for (int64_t other = 0; other < classes; ++other) {
      targets += count[c * classes + other];
      predicted += count[other * classes + c];
    }
    const auto right = static_cast<double>(count[c * classes + c]);
    ClassScores scores{.name = names.empty() ? std::to_string(c) : names[static_cast<size_t>(c)],
                       .precision = class_quotient(right, static_cast<double>(predicted)),
                       .recall = class_quotient(right, static_cast<double>(targets)),
                       .f1 = class_quotient(2 * right, static_cast<double>(predicted + targets)),
                       .support = targets};
    all += targets;
    all_right += count[c * classes + c];
    const double occurs = predicted + targets > 0 ? 1 : 0;
    occurring += predicted + targets > 0;
    for (const auto& [mean, weight] :
         {std::pair(&table.macro, occurs), std::pair(&table.weighted, static_cast<double>(targets))}) {
      mean->precision += weight * scores.precision;
      mean->recall += weight * scores.recall;
      mean->f1 += weight * scores.f1;
      mean->support += mean == &table.macro ? targets : 0;
    }
    table.classes.push_back(std::move(scores));
  }
  table.weighted.support = all;
  for (const auto& [mean, weight] : {std::pair(&table.macro, static_cast<double>(occurring)),
                                     std::pair(&table.weighted, static_cast<double>(all))}) {
    mean->precision = class_quotient(mean->precision, weight);
    mean->recall = class_quotient(mean->recall, weight);
    mean->f1 = class_quotient(mean->f1, weight);
  }
  table.accuracy = class_quotient(static_cast<double>(all_right), static_cast<double>(all));
  return table;
}

std::string ClassTable::text() const {
  std::string title = loader.empty() ? stage_name(stage) : loader;
  if (epoch > 0) title += ", epoch " + std::to_string(epoch);
  size_t width = std::max<size_t>(count_characters(title), 8);
  for (const ClassScores& each : classes) width = std::max(width, count_characters(each.name));
  std::string text = left_aligned(title, width) + right_aligned("precision", 11) + right_aligned("recall", 11) +
                     right_aligned("f1", 11) + right_aligned("support", 11) + "\n";
  for (const ClassScores& each : classes) text += scores_line(each, width);
  text += scores_line(macro, width) + scores_line(weighted, width);
  text += left_aligned("accuracy", width) + right_aligned(fixed4(accuracy), 33) +
          right_aligned(std::to_string(weighted.support), 11) + "\n";
  const auto size = static_cast<int64_t>(classes.size());
  if (size > largest_shown_matrix) return text;
  const int64_t* count = confusion.const_data_ptr<int64_t>();
  size_t column = 0;
  for (const ClassScores& each : classes) column = std::max(column, count_characters(each.name));
  for (int64_t i = 0; i < size * size; ++i) column = std::max(column, std::to_string(count[i]).size());
  const std::string corner = "target \\ predicted";
  width = std::max(width, corner.size());
  text += "\n" + left_aligned(corner, width);
  for (const ClassScores& each : classes) text += right_aligned(each.name, column + 2);
  text += "\n";
  for (int64_t row = 0; row < size; ++row) {
    text += left_aligned(classes[static_cast<size_t>(row)].name, width);
    for (int64_t c = 0; c < size; ++c) text += right_aligned(std::to_string(count[row * size + c]), column + 2);
    text += "\n";
  }
  return text;
}

Values ClassTable::values(std::string_view prefix) const {
  Values values;
  const auto add = [&](const ClassScores& scores) {
    const std::string before(prefix);
    values.set(before + "precision_" + scores.name, scores.precision);
    values.set(before + "recall_" + scores.name, scores.recall);
    values.set(before + "f1_" + scores.name, scores.f1);
    values.set(before + "support_" + scores.name, static_cast<double>(scores.support));
  };
  for (const ClassScores& each : classes) add(each);
  add(macro);
  add(weighted);
  values.set(std::string(prefix) + "accuracy", accuracy);
  return values;
}

ClassReport::ClassReport(ClassReportOptions options) : options_(std::move(options)), counts_(options_.confusion) {
  if (options_.confusion.normalize != metrics::Normalize::none) {
    throw Error({.what = "a report of classes needs counts",
                 .where = "ClassReportOptions::confusion, normalize",
                 .expected = "Normalize::none"});
  }
}

const ClassTable& ClassReport::table(std::string_view loader) const {
  std::vector<std::string> known;
  for (const ClassTable& each : tables_) {
    if (loader.empty() || each.loader == loader) return each;
    known.push_back(each.loader);
  }
  throw Error({.what = "there is no report of such a pass yet",
               .where = "ClassReport::table",
               .got = std::string(loader),
               .expected = known.empty() ? std::string("a finished pass of ") + stage_name(options_.stage)
                                         : "one of " + join(known, ", ")});
}

bool ClassReport::watches(Moment moment) const noexcept {
  const ReportMoments moments = report_moments(options_.stage);
  return moment == moments.begin || moment == moments.batch || moment == moments.end ||
         (options_.stage == Stage::train && moment == Moment::train_batch_end);
}

void ClassReport::on(Trainer& trainer, MomentInfo& info) {
  const at::NoGradGuard no_grad;
  const ReportMoments moments = report_moments(options_.stage);
  const bool train = options_.stage == Stage::train;
  if (info.moment == moments.begin) {
    counts_.reset();
    once_.end_update();
    held_back_.clear();
  } else if (info.moment == moments.batch) {
    const Tree& target = info.output->target.empty() ? info.batch->target : info.output->target;
    if (!train) {
      counts_.update(info.output->predictions.first_tensor(), target.first_tensor());
    } else if (once_.counts(*info.batch)) {
      held_back_.emplace_back(info.output->predictions.first_tensor().detach(), target.first_tensor());
    }
  } else if (info.moment == Moment::train_batch_end) {
    if (trainer.last_update().finite) {
      for (const auto& [predictions, target] : held_back_) counts_.update(predictions, target);
    }
    held_back_.clear();
    once_.end_update();
  } else if (!train || trainer.position().epoch_done) {
    conclude(trainer, train ? std::string_view() : info.loader);
  }
}

ClassTable ClassReport::named(const at::Tensor& confusion, std::string_view loader, int64_t epoch) const {
  ClassTable table = class_table(confusion, options_.names);
  table.stage = options_.stage;
  table.loader = std::string(loader);
  table.epoch = epoch;
  return table;
}

void ClassReport::put(ClassTable table) {
  const auto same =
      std::find_if(tables_.begin(), tables_.end(), [&](const ClassTable& each) { return each.loader == table.loader; });
  if (same == tables_.end()) {
    tables_.push_back(std::move(table));
  } else {
    *same = std::move(table);
  }
}

void ClassReport::conclude(Trainer& trainer, std::string_view loader) {
  if (counts_.empty()) return;
  const bool in_fit = options_.stage == Stage::train || options_.stage == Stage::validation;
  const ClassTable table = named(counts_.compute(), loader, in_fit ? trainer.position().epoch : 0);
  put(table);
  if (in_fit && table.confusion.size(0) <= largest_recorded_matrix) {
    const std::string data = table.loader.empty() ? stage_name(table.stage) : table.loader;
    trainer.record("confusion/" + data, events::Text{confusion_markdown(table)});
  }
  if (options_.show) {
    std::string text = table.text();
    text.pop_back();
    trainer.message(std::move(text));
  }
  if (options_.on_table) options_.on_table(table);
}

void ClassReport::state(State& state) {
  state.child("counts", counts_);
  Tree tables = Tree::List{};
  if (state.saving()) {
    for (const ClassTable& each : tables_) {
      tables.items().emplace_back(
          Tree::Dictionary{{"loader", each.loader}, {"epoch", each.epoch}, {"confusion", each.confusion.clone()}});
    }
  }
  state.value("tables", tables);
  if (!state.loading()) return;
  tables_.clear();
  for (const Tree& each : tables.items()) {
    tables_.push_back(named(each["confusion"].tensor().clone(), each["loader"].text(), each["epoch"].integer()));
  }
}

}  // namespace athanor
