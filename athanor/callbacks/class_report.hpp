// SPDX-License-Identifier: Apache-2.0
// Confusion matrix and the values of each class, once an epoch.
//
//     auto report = std::make_shared<athanor::ClassReport>(athanor::ClassReportOptions{.names = {"cat", "dog"}});
//     model.fit(train, {.validation = test, .callbacks = {report}});
//     report->table().classes[1].recall;
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/callbacks/evaluated_once.hpp"
#include "athanor/metrics/confusion_matrix.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

/// Of one class, or a mean over classes. A division by zero gives 0, as in scikit-learn.
struct ClassScores {
  std::string name = {};
  double precision = 0;  ///< Right predictions of the class / predictions of the class.
  double recall = 0;     ///< Right predictions of the class / targets of the class.
  double f1 = 0;         ///< Their harmonic mean.
  int64_t support = 0;   ///< Targets of the class.
};

/// What one pass came to.
struct ClassTable {
  Stage stage = Stage::validation;
  std::string loader = {};             ///< Name of the data; empty in training.
  int64_t epoch = 0;                   ///< 0 outside of `fit`.
  at::Tensor confusion = {};           ///< int64 (C, C) on the CPU: rows are targets, columns are predictions.
  std::vector<ClassScores> classes{};  ///< Called as told, else `0`, `1`, …
  ClassScores macro = {};              ///< Mean over the classes that occur among targets or predictions.
  ClassScores weighted = {};           ///< Mean over the classes, weighted by support.
  double accuracy = 0;

  /// A table of fixed width, ASCII but for the names: a line for each class and the means, then the confusion matrix
  /// when there are at most 20 classes. No escape codes; lines end with a newline, the last one too.
  [[nodiscard]] std::string text() const;
  /// `precision_cat`, `recall_cat`, `f1_cat`, `support_cat`, … of each class, `precision_macro`, …, `accuracy`, each
  /// with `prefix` before it.
  [[nodiscard]] Values values(std::string_view prefix = {}) const;
};

/// The table of a confusion matrix, (C, C), whole numbers of any dtype, on any device. `names` may be empty. Throws
/// Error for another shape and for another number of names than classes.
[[nodiscard]] ClassTable class_table(const at::Tensor& confusion, const std::vector<std::string>& names = {});

struct ClassReportOptions {
  /// The pass that is looked at: all data of validation, test or prediction, or the training data.
  Stage stage = Stage::validation;
  /// The names of the classes, in the order of their numbers. Empty: the numbers.
  std::vector<std::string> names{};
  /// How predictions and targets are read. `normalize` must be left alone.
  metrics::ConfusionMatrixOptions confusion = {};
  /// Whether the table is shown at the end of each pass, as a message to the listeners.
  bool show = true;
  /// Called with the table at the end of each pass, on the training thread. Unset: nothing.
  std::function<void(const ClassTable&)> on_table = {};
};

/// Counts the classes of a stage as metrics::ConfusionMatrix does: exactly, whatever the batches; without waiting for
/// the device before the end of the pass. In training the counts are those of the weights of each step, of updates that
/// were finite.
class ClassReport {
 public:
  /// Throws Error for options out of their range.
  explicit ClassReport(ClassReportOptions options = {});

  /// The last finished pass, with several data of the stage of the one that is named. Throws Error when there is none.
  [[nodiscard]] const ClassTable& table(std::string_view loader = {}) const;
  [[nodiscard]] bool has_table() const noexcept { return !tables_.empty(); }

  // ---- hooks
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  /// At the first finished pass: throws Error when the number of names is not that of the classes.
  void on(Trainer& trainer, MomentInfo& info);
  void state(State& state);
  /// There may be one for each stage.
  [[nodiscard]] std::string key() const { return std::string("ClassReport of ") + stage_name(options_.stage); }

 private:
  void conclude(Trainer& trainer, std::string_view loader);
  [[nodiscard]] ClassTable named(const at::Tensor& confusion, std::string_view loader, int64_t epoch) const;
  void put(ClassTable table);

  ClassReportOptions options_;
  metrics::ConfusionMatrix counts_;  // of the running pass
  std::vector<ClassTable> tables_;   // the last one of each name
  detail::EvaluatedOnce once_;
  std::vector<std::pair<at::Tensor, at::Tensor>> held_back_;  // predictions and targets of the running update
};

}  // namespace athanor
