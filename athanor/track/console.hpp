// SPDX-License-Identifier: Apache-2.0
// Shows a run in the terminal, or in the log that standard output goes to.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>

#include "athanor/track/bar.hpp"
#include "athanor/train/display.hpp"

namespace athanor {

/// What a Console does. Every field may be left out.
struct ConsoleOptions {
  /// Whether a bar is redrawn in place. Unset: when the stream is a terminal. Set it to false where the terminal is
  /// recorded, to true where the stream leads to a terminal in a way of its own.
  std::optional<bool> live = {};
  Verbosity verbosity = Verbosity::normal;
  /// Unset: when the stream is a terminal and the environment has no `NO_COLOR`.
  std::optional<bool> colour = {};
  /// Block characters for the bar, else ASCII. Unset: when the locale in the environment is one of UTF-8.
  std::optional<bool> unicode = {};
  /// Decimals of values.
  int digits = 4;
  /// Columns. Unset: those of the terminal, asked anew at every draw; 100 for the header where there is no terminal.
  std::optional<int> width = {};
  /// Null: std::cout. It must live as long as the Console.
  std::ostream* stream = nullptr;
  /// Lines of the live display: 2 adds the time that the run will take, learning rates and the best so far below the
  /// bar. Unset: 2 on a terminal with at least 6 lines of at least 40 columns, else 1.
  std::optional<int> lines = {};
  /// Where there is no live display: also a line every so many batches of a pass. Unset: none.
  std::optional<int64_t> every = {};
};

/// A bar for each pass that ends as one plain line an epoch:
///
///     training on cpu, 2 threads, seed 42, 101,770 parameters
///       optimizer=Adam(lr=0.001), epochs=20, monitor=val_acc
///       run folder: runs/fashion
///     epoch  1/20   5.9 s  train_loss 0.5312  train_acc 0.8101  val_loss 0.4201  val_acc 0.8523  *best
///     epoch  2/20  ━━━━━━━━━╸            212/469   0:03 left  12.4 ms/step  loss 0.3124  acc 0.8891
///       run 1:52 left  lr 0.001  best val_acc 0.8523 at epoch 1
///
/// Where the stream is no terminal there are no bars and no control sequences, so a log file stays readable.
///
/// Meant for one thread, as every Listener. Nothing is thrown: when the stream fails, the Console says no more and
/// training goes on.
class Console : public Listener {
 public:
  explicit Console(ConsoleOptions options = {});
  /// Ends the line of a bar that was left standing, so that what comes next begins on its own.
  ~Console() override;
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void on_run_begin(const events::RunBegin& run) override;
  void on_stage_begin(const events::StageBegin& stage) override;
  void on_progress(const events::Progress& progress) override;
  void on_step(const events::Step& step) override;
  void on_epoch_end(const events::EpochEnd& end) override;
  void on_message(const events::Message& message) override;
  void on_run_end(const events::RunEnd& end) override;
  [[nodiscard]] std::string name() const override { return "the console"; }

 private:
  [[nodiscard]] terminal::LineStyle style() const;
  void write(const std::string& text) noexcept;
  void print_lines(const std::string& text);
  void redraw(const events::Progress& progress);
  void print_batch(const events::Progress& progress);
  [[nodiscard]] std::string erased() const;
  [[nodiscard]] int lines(const terminal::LineStyle& style) const;
  [[nodiscard]] terminal::RunStatus status(const events::Progress& progress) const;

  ConsoleOptions options_;
  std::ostream& stream_;
  bool live_;
  bool colour_;
  bool unicode_;
  bool failed_ = false;
  double step_seconds_ = 0;  // of the last training pass; 0: not known
  const History* history_ = nullptr;
  std::string bar_;  // the one on the screen; empty: none
  int bar_lines_ = 1;
  Values rates_;
  int64_t epochs_done_ = 0;  // of this call
  double run_seconds_ = 0;   // they took
  int64_t next_batch_ = 0;   // that gets a line, without a live display
};

}  // namespace athanor
