// SPDX-License-Identifier: Apache-2.0
// What the console says at each event.
#include "athanor/track/console.hpp"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <vector>

#include "athanor/track/terminal.hpp"

namespace athanor {
namespace {

using terminal::draw_bar, terminal::LineStyle, terminal::paint, terminal::pass_label, terminal::printable;
using terminal::step_time_text, terminal::time_text, terminal::Tone, terminal::value_text;

constexpr const char* erase_line = "\r\x1b[K";
constexpr int log_width = 100;

std::string with_separators(int64_t number) {
  std::string text = std::to_string(number);
  const int first = number < 0 ? 1 : 0;
  for (int at = static_cast<int>(text.size()) - 3; at > first; at -= 3) text.insert(static_cast<size_t>(at), 1, ',');
  return text;
}

std::string counted(int64_t number, const std::string& noun) {
  return with_separators(number) + " " + noun + (number == 1 ? "" : "s");
}

// `items` with commas between them, indented, in lines of at most `width` columns; an item is never broken.
std::string wrapped(const std::vector<std::string>& items, int width) {
  std::string text;
  std::string line;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string item = items[i] + (i + 1 < items.size() ? "," : "");
    if (!line.empty() && terminal::columns(line) + 1 + terminal::columns(item) > width) {
      text += line + "\n";
      line.clear();
    }
    line += (line.empty() ? "  " : " ") + item;
  }
  return line.empty() ? text : text + line + "\n";
}

std::string epoch_label(const events::EpochEnd& end) {
  const History::Epoch& epoch = end.epoch;
  std::string label = pass_label(Stage::train, epoch.number, end.epochs);
  if (epoch.part == 1 || epoch.cut_short) return label;
  return label + " " + std::to_string(std::lround(epoch.part * 100)) + "%";
}

std::string values_text(const Values& values, const LineStyle& style) {
  std::string text;
  for (const auto& [name, value] : values) {
    text += "  " + paint(printable(name), Tone::faint, style) + " " +
            paint(value_text(value, style.digits), std::isfinite(value) ? Tone::plain : Tone::warning, style);
  }
  return text;
}

std::string time_column(double seconds, const LineStyle& style) {
  const std::string text = time_text(seconds);
  return "  " + paint(std::string(text.size() < 6 ? 6 - text.size() : 0, ' ') + text, Tone::faint, style);
}

std::string step_column(double seconds, const LineStyle& style) {
  return seconds > 0 ? "  " + paint(step_time_text(seconds) + "/step", Tone::faint, style) : "";
}

}  // namespace

Console::Console(ConsoleOptions options)
    : options_(options),
      stream_(options.stream != nullptr ? *options.stream : std::cout),
      live_(options.verbosity >= Verbosity::normal && options.live.value_or(terminal::is_terminal(stream_))),
      colour_(options.colour.value_or(terminal::is_terminal(stream_) && !terminal::refuses_colour())),
      unicode_(options.unicode.value_or(terminal::is_utf8())) {}

Console::~Console() {
  if (!bar_.empty()) write("\n");
}

LineStyle Console::style() const {
  const int width = options_.width.value_or(live_ ? terminal::width(stream_) : log_width);
  return {.width = width, .digits = options_.digits, .colour = colour_, .unicode = unicode_};
}

// A stream may be told to throw, and a buffer of the host's may throw by itself.
void Console::write(const std::string& text) noexcept {
  if (failed_) return;
  try {
    stream_ << text << std::flush;
    failed_ = !stream_;
  } catch (...) {
    failed_ = true;
  }
}

// Whole lines, in place of the bar and with the bar below them again.
void Console::print_lines(const std::string& text) { write(bar_.empty() ? text : erase_line + text + bar_); }

void Console::redraw(const events::Progress& progress) {
  LineStyle line = style();
  // Many terminals wrap as soon as the last column is written.
  line.width -= 1;
  bar_ = draw_bar(progress, line);
  write("\r" + bar_ + "\x1b[K");
}

void Console::on_run_begin(const events::RunBegin& run) {
  history_ = run.history;
  if (options_.verbosity < Verbosity::normal) return;
  const LineStyle line = style();
  std::string text = std::string(run.resumed ? "training continued on " : "training on ") + run.device + ", " +
                     counted(run.threads, "thread") + ", seed " + std::to_string(run.seed) + ", " +
                     counted(run.parameters, "parameter") + "\n";
  std::vector<std::string> options;
  for (const auto& [name, value] : run.options) options.push_back(printable(name + "=" + value));
  text += wrapped(options, line.width);
  for (const std::string& note : run.notes) text += "  " + printable(note) + "\n";
  if (run.folder) text += "  run folder: " + printable(run.folder->string()) + "\n";
  print_lines(text);
}

void Console::on_stage_begin(const events::StageBegin& stage) {
  if (!live_) return;
  redraw({.stage = stage.stage,
          .epoch = stage.epoch,
          .epochs = stage.epochs,
          .batch = 0,
          .batches = stage.batches,
          .seconds = 0,
          .values = {}});
}

void Console::on_progress(const events::Progress& progress) {
  if (live_) redraw(progress);
  const double step = progress.batch > 0 ? progress.seconds / static_cast<double>(progress.batch) : 0;
  if (progress.stage == Stage::train) step_seconds_ = step;
  const bool over = progress.batches > 0 && progress.batch >= progress.batches;
  if (progress.epoch > 0 || !over) return;
  // A pass outside of `fit` has no event of its own for its end.
  std::string line;
  if (options_.verbosity >= Verbosity::verbose) {
    const LineStyle look = style();
    line = pass_label(progress.stage, 0, {}) + time_column(progress.seconds, look) + step_column(step, look) +
           values_text(progress.values, look) + "\n";
  }
  bar_.clear();
  if (live_ || !line.empty()) write((live_ ? erase_line : "") + line);
}

void Console::on_epoch_end(const events::EpochEnd& end) {
  if (options_.verbosity == Verbosity::silent) return;
  const LineStyle line = style();
  std::string text = epoch_label(end) + time_column(end.epoch.seconds, line);
  if (options_.verbosity >= Verbosity::verbose) text += step_column(step_seconds_, line);
  step_seconds_ = 0;
  text += values_text(end.epoch.values, line);
  // A learning rate is worth its place once it changes.
  if (history_ != nullptr && !history_->empty()) {
    Values changed;
    const Values& first = history_->epochs().front().settings;
    for (const auto& [name, value] : end.epoch.settings) {
      if (first.find(name) != std::optional(value)) changed.set(name, value);
    }
    text += values_text(changed, line);
  }
  if (end.best) text += "  " + paint("*best", Tone::good, line);
  bar_.clear();
  write((live_ ? erase_line : "") + text + "\n");
}

void Console::on_message(const events::Message& message) {
  const bool warning = message.level == events::Message::Level::warning;
  if (options_.verbosity < (warning ? Verbosity::quiet : Verbosity::normal)) return;
  const std::string text = warning ? paint("warning: ", Tone::warning, style()) + message.text : message.text;
  print_lines(text.empty() || text.back() != '\n' ? text + "\n" : text);
}

void Console::on_run_end(const events::RunEnd& end) {
  if (options_.verbosity == Verbosity::silent) return;
  std::string text = "stopped after " + time_text(end.seconds);
  if (const std::string& reason = end.history.stop_reason(); !reason.empty()) text += ": " + reason;
  text += "\n";
  if (const auto& best = end.history.best(); best && best->epoch > 0) {
    text += "best " + best->monitor + " " + value_text(best->value, options_.digits) + " at epoch " +
            std::to_string(best->epoch) + "\n";
  }
  if (options_.verbosity == Verbosity::verbose && !end.time_verdict.empty()) text += end.time_verdict + "\n";
  if (end.folder) text += "run folder: " + printable(end.folder->string()) + "\n";
  // A pass that was broken off leaves its bar; how far it came stays readable above the end.
  if (!bar_.empty()) text.insert(0, "\n");
  bar_.clear();
  write(text);
}

}  // namespace athanor
