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
constexpr int least_height = 6;  // of a terminal, and width, for two lines of live display
constexpr int least_width = 40;

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

void keep_rates(Values& rates, const Values& values) {
  for (const auto& [name, value] : values) {
    if (name.starts_with("lr")) rates.set(name, value);
  }
}

// The best value of everything that is known to have a best, and its epoch.
std::vector<std::string> best_values(const events::RunEnd& end, int digits) {
  std::vector<std::string> items;
  for (const auto& [name, direction] : end.directions) {
    if (direction == Direction::unknown) continue;
    const History::Epoch* best = nullptr;
    double best_value = 0;
    for (const History::Epoch& epoch : end.history.epochs()) {
      const auto value = epoch.values.find(name);
      if (!value || !std::isfinite(*value)) continue;
      if (best != nullptr && (direction == Direction::up ? *value <= best_value : *value >= best_value)) continue;
      best = &epoch;
      best_value = *value;
    }
    if (best == nullptr) continue;
    items.push_back(printable(name) + " " + value_text(best_value, digits) + " (epoch " + std::to_string(best->number) +
                    ")");
  }
  return items;
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
void Console::print_lines(const std::string& text) { write(bar_.empty() ? text : erased() + text + bar_); }

// Takes the bar off the screen and leaves the cursor where it began.
std::string Console::erased() const {
  std::string text = erase_line;
  for (int i = 1; i < bar_lines_; ++i) text += "\x1b[A\x1b[K";
  return text;
}

int Console::lines(const LineStyle& style) const {
  if (options_.lines) return *options_.lines;
  return terminal::height(stream_) >= least_height && style.width >= least_width ? 2 : 1;
}

terminal::RunStatus Console::status(const events::Progress& progress) const {
  terminal::RunStatus status{.seconds_left = {}, .rates = rates_, .best = {}};
  if (history_ != nullptr) status.best = history_->best();
  if (!progress.epochs || progress.epoch <= 0) return status;
  const bool train = progress.stage == Stage::train;
  double epoch_seconds = 0;
  if (epochs_done_ > 0) {
    epoch_seconds = run_seconds_ / static_cast<double>(epochs_done_);
  } else if (train && progress.batch > 0 && progress.batches > 0) {
    epoch_seconds = progress.seconds / static_cast<double>(progress.batch) * static_cast<double>(progress.batches);
  }
  if (epoch_seconds <= 0) return status;
  const double here = train ? std::max(epoch_seconds - progress.seconds, 0.0) : 0.0;
  status.seconds_left =
      here + epoch_seconds * static_cast<double>(std::max<int64_t>(*progress.epochs - progress.epoch, 0));
  return status;
}

void Console::redraw(const events::Progress& progress) {
  LineStyle line = style();
  // Many terminals wrap as soon as the last column is written.
  line.width -= 1;
  const int count = lines(line);
  std::string text = draw_bar(progress, line);
  std::string drawn = "\r";
  if (count == 1 && bar_lines_ == 1) {
    drawn += text + "\x1b[K";
  } else {
    for (int i = 1; i < bar_lines_ && !bar_.empty(); ++i) drawn += "\x1b[A";
    const std::string below = draw_status(status(progress), line);
    drawn += text + "\x1b[K\n" + below + "\x1b[K";
    text += "\n" + below;
  }
  bar_ = text;
  bar_lines_ = count == 1 && bar_lines_ == 1 ? 1 : 2;
  write(drawn);
}

void Console::print_batch(const events::Progress& progress) {
  if (!options_.every || *options_.every < 1 || options_.verbosity < Verbosity::normal) return;
  if (progress.batch < next_batch_ || progress.batch == 0) return;
  next_batch_ = (progress.batch / *options_.every + 1) * *options_.every;
  const LineStyle look = style();
  std::string line =
      pass_label(progress.stage, progress.epoch, progress.epochs) + "  " + std::to_string(progress.batch);
  if (progress.batches > 0) line += "/" + std::to_string(progress.batches);
  line += step_column(progress.seconds / static_cast<double>(progress.batch), look);
  write(line + values_text(progress.values, look) + "\n");
}

void Console::on_run_begin(const events::RunBegin& run) {
  history_ = run.history;
  epochs_done_ = 0;
  rates_ = {};
  if (options_.verbosity < Verbosity::normal) return;
  const LineStyle line = style();
  std::string text = run.resumed ? "training continued" : "training";
  if (!run.device.empty()) {
    text += " on " + run.device + ", " + counted(run.threads, "thread") + ", seed " + std::to_string(run.seed) + ", " +
            counted(run.parameters, "parameter");
  }
  text += "\n";
  std::vector<std::string> options;
  for (const auto& [name, value] : run.options) options.push_back(printable(name + "=" + value));
  text += wrapped(options, line.width);
  for (const std::string& note : run.notes) text += "  " + printable(note) + "\n";
  if (run.folder) text += "  run folder: " + printable(run.folder->string()) + "\n";
  print_lines(text);
}

void Console::on_stage_begin(const events::StageBegin& stage) {
  next_batch_ = options_.every.value_or(0);
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
  if (live_) {
    redraw(progress);
  } else {
    print_batch(progress);
  }
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
  if (live_ || !line.empty()) write((live_ ? erased() : "") + line);
  bar_.clear();
  bar_lines_ = 1;
}

void Console::on_step(const events::Step& step) { keep_rates(rates_, step.values); }

void Console::on_epoch_end(const events::EpochEnd& end) {
  keep_rates(rates_, end.epoch.settings);
  if (end.epoch.part == 1) {
    epochs_done_ += 1;
    run_seconds_ = end.run_seconds;
  }
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
  write((live_ ? erased() : "") + text + "\n");
  bar_.clear();
  bar_lines_ = 1;
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
  if (end.history.epochs().size() > 1) {
    const LineStyle line = style();
    if (const auto items = best_values(end, options_.digits); !items.empty()) {
      text += "best of each value:\n" + wrapped(items, line.width);
    }
    Values rates;
    keep_rates(rates, end.history.last().settings);
    if (!rates.empty() && !end.directions.empty()) text += "at the end:" + values_text(rates, line) + "\n";
  }
  if (options_.verbosity == Verbosity::verbose && !end.time_verdict.empty()) text += end.time_verdict + "\n";
  if (end.folder) text += "run folder: " + printable(end.folder->string()) + "\n";
  // A pass that was broken off leaves its bar; how far it came stays readable above the end.
  if (!bar_.empty()) text.insert(0, "\n");
  bar_.clear();
  bar_lines_ = 1;
  write(text);
}

}  // namespace athanor
