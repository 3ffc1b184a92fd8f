// SPDX-License-Identifier: Apache-2.0
// What the loop tells to those who show or write: the events of a run and the interface of a listener.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "athanor/core/values.hpp"
#include "athanor/metrics/accumulator.hpp"
#include "athanor/train/history.hpp"

namespace athanor {

/// The kinds of pass over data.
enum class Stage { train, validation, test, predict };
/// `train`, `val`, `test`, `predict`: the prefix of a stage's values.
[[nodiscard]] const char* stage_name(Stage stage) noexcept;

namespace events {

struct RunBegin {
  std::string device = {};  ///< `cpu`, `cuda:0`
  int threads = 0;          ///< of LibTorch, inside operators
  uint64_t seed = 0;
  int64_t parameters = 0;                                      ///< trainable numbers
  std::vector<std::pair<std::string, std::string>> options{};  ///< name and value, for the header and the record
  std::vector<std::string> notes{};                            ///< sentences, such as what is set in the host process
  std::optional<std::filesystem::path> folder = {};            ///< where this run keeps its files
  bool resumed = false;                                        ///< a second `fit`, or a restored state
  int64_t step = 0;  ///< where the run stands: what a file or tracker has of later steps is to be cut away
  const History* history = nullptr;  ///< grows with the run; lives as long as it
};

/// A pass over one loader begins.
struct StageBegin {
  Stage stage = Stage::train;
  int64_t epoch = 0;                   ///< from 1 on; 0 outside of `fit`
  std::optional<int64_t> epochs = {};  ///< how many there will be, when that is known
  int64_t batches = 0;                 ///< in this pass
};

/// Where a pass stands. Sent at most ten times a second, and at the end of the pass.
struct Progress {
  Stage stage = Stage::train;
  int64_t epoch = 0;
  std::optional<int64_t> epochs = {};
  int64_t batch = 0;  ///< finished batches of this pass
  int64_t batches = 0;
  double seconds = 0;  ///< since the pass began
  Values values = {};  ///< running means, without prefix: `loss`, `acc`
};

/// Values of a single update, for trackers. Sent at the interval of `log_every`.
struct Step {
  int64_t epoch = 0;
  int64_t step = 0;     ///< optimizer steps so far
  int64_t samples = 0;  ///< samples so far
  Values values = {};   ///< `train_loss`, `gradient_norm`, `lr`, …
};

/// An epoch with its validation is over, or a validation within it.
struct EpochEnd {
  const History::Epoch& epoch;
  std::optional<int64_t> epochs = {};
  double run_seconds = 0;  ///< since `fit` was called
  bool best = false;       ///< this epoch is the best so far and is kept
};

/// Something that a person should know: a new best, a changed learning rate, a warning.
struct Message {
  enum class Level { info, warning };
  Level level = Level::info;
  std::string text = {};
};

struct RunEnd {
  const History& history;
  double seconds = 0;
  std::optional<std::filesystem::path> folder = {};
  std::string time_verdict = {};                                ///< What took the time, a sentence.
  std::vector<std::pair<std::string, Direction>> directions{};  ///< Names of values, and which way is better.
};

/// The run ended by an exception, or was given up before its end; `on_run_end` does not come.
struct RunBroken {
  std::string reason = {};
};

/// The state of the run is about to be written to disk. The file waits, for ten seconds at most, until every copy of
/// `hold` is gone: a run that goes on from it must not lack what was told before.
struct Saving {
  int64_t step = 0;
  std::shared_ptr<const void> hold = {};
};

/// How numbers are spread: bin `i` holds `counts[i]` of them, from `edges[i]` to `edges[i + 1]`.
struct Histogram {
  double minimum = 0;
  double maximum = 0;
  double count = 0;
  double sum = 0;
  double sum_of_squares = 0;
  std::vector<double> edges{};  ///< Rising, one more than there are counts.
  std::vector<double> counts{};
};

/// A picture (H, W) or (C, H, W) with 1, 3 or 4 channels: uint8, or floating point from 0 to 1. On the CPU.
struct Image {
  at::Tensor pixels;
};

/// Markdown.
struct Text {
  std::string markdown;
};

/// A table of texts, numbers and pictures, such as the samples that a model does worst on.
struct Table {
  using Cell = std::variant<std::string, double, Image>;
  std::vector<std::string> columns{};
  std::vector<std::vector<Cell>> rows{};  ///< Each as long as `columns`.
};

/// Precision over recall, by counts at rising thresholds from 0 to 1.
struct PrecisionRecall {
  /// How many samples are called positive from a threshold on, rightly or not, and how many negative.
  struct Point {
    double true_positives = 0;
    double false_positives = 0;
    double true_negatives = 0;
    double false_negatives = 0;
  };
  std::vector<Point> points{};  ///< At thresholds that are evenly spaced; 2 or more.
};

/// Points of a space of many dimensions, to be looked at in a projection.
struct Embedding {
  at::Tensor vectors;                              ///< (N, D), floating, on the CPU.
  std::vector<std::string> columns{};              ///< Names of what `labels` tell. Empty: nothing.
  std::vector<std::vector<std::string>> labels{};  ///< For each vector a text for each column.
  at::Tensor pictures = {};                        ///< (N, C, H, W), one for each vector. Undefined: none.
};

/// The graph of a net.
struct Graph {
  struct Node {
    std::string name = {};                       ///< `encoder/0`; slashes group.
    std::string operation = {};                  ///< `Linear`
    std::vector<std::string> inputs{};           ///< Names of nodes.
    std::vector<std::vector<int64_t>> shapes{};  ///< Of its outputs, where they are known.
    std::vector<std::pair<std::string, std::string>> attributes{};
  };
  std::vector<Node> nodes{};
};

/// Something to look at that is not a number.
struct Media {
  using Content = std::variant<Histogram, Image, Text, Table, PrecisionRecall, Embedding, Graph>;
  std::string name = {};  ///< `weights/fc1.weight`; slashes group
  int64_t step = 0;
  Content content;
};

/// With copies of its tensors on the CPU, detached, that nobody else writes to. Waits for their device.
[[nodiscard]] Media::Content copied(Media::Content content);

/// An `evaluate` outside of `fit`, or in the middle of it, is over.
struct Evaluation {
  Stage stage = Stage::test;
  int64_t epoch = 0;                                 ///< Epochs that the run has made.
  int64_t step = 0;                                  ///< Optimizer steps that the run has made.
  Values values = {};                                ///< `test_loss`, `test_acc`
  std::optional<std::filesystem::path> folder = {};  ///< Of the run that was made before; unset: there is none.
};

}  // namespace events

/// Shows or writes a run. The trainer calls it from the training thread, in order; a call that takes long delays
/// training, so what is slow goes onto a thread of its own (`track::on_thread`, which then is the one that calls). A
/// listener that throws is named once, in a warning to the others, and is told nothing more; training goes on.
class Listener {
 public:
  virtual ~Listener();
  virtual void on_run_begin(const events::RunBegin& event);
  virtual void on_stage_begin(const events::StageBegin& event);
  virtual void on_progress(const events::Progress& event);
  virtual void on_step(const events::Step& event);
  virtual void on_epoch_end(const events::EpochEnd& event);
  virtual void on_message(const events::Message& event);
  virtual void on_run_end(const events::RunEnd& event);
  virtual void on_media(const events::Media& event);
  virtual void on_run_broken(const events::RunBroken& event);
  /// What it is called in messages. Default: its type.
  [[nodiscard]] virtual std::string name() const;
  /// A sentence about itself that a person should know at the end of the run, such as how long training had to wait for
  /// it. Asked for before `on_run_end`, and once more after it: what is new then is told too, as a warning. Default:
  /// empty, nothing.
  [[nodiscard]] virtual std::string remark() const;
  /// Told also outside of a run: whoever writes a file opens and closes it.
  virtual void on_evaluation(const events::Evaluation& event);
  /// Whoever writes a file hands to the system what it holds back.
  virtual void on_saving(const events::Saving& event);
};

using Listeners = std::vector<std::shared_ptr<Listener>>;

}  // namespace athanor
