// SPDX-License-Identifier: Apache-2.0
// Predictions as a file.
//
//     trainer.set_options({.callbacks = {athanor::PredictionWriter({.path = "test.safetensors", .targets = true})}});
//     trainer.evaluate(task, test);                       // Python: safetensors.numpy.load_file("test.safetensors")
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "athanor/train/trainer.hpp"

namespace athanor {

struct PredictionWriterOptions {
  /// `.safetensors`, or `.csv` for small results. `{name}` in it stands for the name of the data; without it each pass
  /// writes over the file of the one before it. The folder is made when it is missing.
  std::filesystem::path path = {};
  /// The passes that are written.
  std::vector<Stage> stages = {Stage::test, Stage::predict};
  /// Whether the targets are written too: what metrics compare with, else the target of the batch.
  bool targets = false;
  /// Whether the place of each sample in its data set is written.
  bool indices = false;
  /// A CSV file of more numbers than this is refused.
  int64_t csv_limit = 1'000'000;
};

/// Writes the predictions of a whole pass, in the order of the data set whatever the order of the loader, as a whole
/// or not at all. A pass that is left early (a PredictionStream that is not read to its end) writes nothing.
///
/// safetensors: `predictions`, or `predictions.NAME` for each tensor of a tree, (N, …) in its own dtype; `targets`
/// likewise; `indices` int64 (N), and `parts` int64 (N) when a combined loader gave them. Samples are ordered by part,
/// then by index; a source that does not number its samples is written as it comes, and can't give `indices`.
///
/// CSV: a header and a line for each sample: `index`, a column for each number of a prediction (`predictions`, or
/// `predictions_0`, `predictions_1`, … row by row), targets likewise. Numbers have as many digits as it takes to read
/// the same number back.
///
/// All predictions lie in the memory of the host until the end of the pass. Each batch waits for the device.
class PredictionWriter {
 public:
  /// Throws Error for another kind of file, no stage, and a stage other than validation, test and predict.
  explicit PredictionWriter(PredictionWriterOptions options);

  // ---- hooks
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  /// At the begin of a pass: throws Error when the folder can't be written. At its end: when the tensors of the batches
  /// do not fit together, or one has no samples along dimension 0.
  void on(Trainer& trainer, MomentInfo& info);
  /// There may be one for each file.
  [[nodiscard]] std::string key() const { return "PredictionWriter of " + options_.path.string(); }

 private:
  struct Columns {
    std::vector<Tree> predictions, targets;
    std::vector<at::Tensor> indices;
    std::vector<int64_t> rows;   // of each batch
    std::vector<int32_t> parts;  // of each batch
  };
  void take(const Batch& batch, const StepOutput& output);
  void write(const std::filesystem::path& path) const;
  [[nodiscard]] std::filesystem::path path_for(std::string_view loader) const;

  PredictionWriterOptions options_;
  Columns columns_;  // of the running pass
};

}  // namespace athanor
