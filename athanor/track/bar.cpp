// SPDX-License-Identifier: Apache-2.0
// Drawing the bar.
#include "athanor/track/bar.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "athanor/core/text.hpp"
#include "athanor/track/terminal.hpp"

namespace athanor::terminal {
namespace {

constexpr int longest_bar = 20;
constexpr int shortest_bar = 8;
constexpr int label_digits = 3;  // of the epoch, while nobody knows how many there will be
constexpr std::string_view gap = "  ";

std::string right(const std::string& text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

std::string repeated(std::string_view text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

std::string bar_text(double share, int length, const LineStyle& style) {
  share = std::clamp(share, 0.0, 1.0);
  if (!style.unicode) {
    const int inner = length - 2;
    const int full = static_cast<int>(share * inner);
    const bool head = full > 0 && full < inner;
    return "[" + repeated("=", full - (head ? 1 : 0)) + (head ? ">" : "") + repeated(" ", inner - full) + "]";
  }
  const int halves = static_cast<int>(share * length * 2);
  const std::string done = repeated("━", halves / 2) + (halves % 2 == 1 ? "╸" : "");
  const int rest = length - halves / 2 - halves % 2;
  // Without colours a drawn rest could not be told from what is done.
  return paint(done, Tone::good, style) +
         (style.colour ? paint(repeated("━", rest), Tone::faint, style) : repeated(" ", rest));
}

struct Part {
  std::string text = {};
  bool shown = false;
  int columns = terminal::columns(text);
};

Part part(std::string text) { return {.text = std::move(text), .shown = true}; }

struct Parts {
  Part label = {};
  int bar = 0;  // columns of the bar, 0: none
  Part count = {};
  Part left = {};
  Part rate = {};
  std::vector<Part> names = {};
  std::vector<Part> numbers = {};
  size_t values = 0;  // how many of them are shown

  [[nodiscard]] int columns() const {
    const int between = static_cast<int>(gap.size());
    int total = label.columns + (bar > 0 ? bar + between : 0);
    for (const Part* each : {&count, &left, &rate}) total += each->shown ? each->columns + between : 0;
    for (size_t i = 0; i < values; ++i) total += between + names[i].columns + 1 + numbers[i].columns;
    return total;
  }
};

Parts measure(const events::Progress& progress, const LineStyle& style) {
  Parts parts{.label = part(pass_label(progress.stage, progress.epoch, progress.epochs))};
  const bool known = progress.batches > 0;
  const std::string done = std::to_string(progress.batch);
  if (known) {
    parts.bar = longest_bar;
    const std::string all = std::to_string(progress.batches);
    parts.count = part(right(done, all.size()) + "/" + all);
  } else {
    parts.count = part(done + (progress.batch == 1 ? " batch" : " batches"));
  }
  if (progress.batch > 0) {
    const double step = progress.seconds / static_cast<double>(progress.batch);
    const auto rest = static_cast<double>(progress.batches - progress.batch);
    if (known && rest > 0) parts.left = part(right(format_seconds(step * rest), 5) + " left");
    if (rest <= 0) parts.left = part(right(time_text(progress.seconds), 10));
    parts.rate = part(right(step_time_text(step), 7) + "/step");
  }
  for (const auto& [name, value] : progress.values) {
    parts.names.push_back(part(printable(name)));
    parts.numbers.push_back(part(value_text(value, style.digits)));
  }
  parts.values = parts.names.size();
  return parts;
}

void fit_into(Parts& parts, int width) {
  const auto excess = [&] { return parts.columns() - width; };
  if (parts.bar > 0) parts.bar = std::clamp(parts.bar - std::max(excess(), 0), shortest_bar, longest_bar);
  if (excess() > 0) parts.rate.shown = false;
  while (excess() > 0 && parts.values > 1) --parts.values;
  if (excess() > 0) parts.left.shown = false;
  if (excess() > 0) parts.bar = 0;
  if (excess() > 0) parts.values = 0;
  if (excess() > 0) parts.count.shown = false;
  if (excess() > 0) parts.label = part(std::string(clip(parts.label.text, width)));
  // What the parts left out have set free goes to the bar.
  if (parts.bar > 0) parts.bar = std::clamp(parts.bar - excess(), shortest_bar, longest_bar);
}

}  // namespace

std::string paint(std::string_view text, Tone tone, const LineStyle& style) {
  if (!style.colour || tone == Tone::plain || text.empty()) return std::string(text);
  const char* code = tone == Tone::faint ? "\x1b[2m" : tone == Tone::good ? "\x1b[32m" : "\x1b[33m";
  return std::string(code).append(text) + "\x1b[0m";
}

std::string draw_bar(const events::Progress& progress, const LineStyle& style) {
  Parts parts = measure(progress, style);
  fit_into(parts, std::max(style.width, 0));
  std::string line = parts.label.text;
  const auto add = [&](const std::string& text) { line.append(gap).append(text); };
  if (parts.bar > 0) {
    add(bar_text(static_cast<double>(progress.batch) / static_cast<double>(progress.batches), parts.bar, style));
  }
  if (parts.count.shown) add(parts.count.text);
  for (const Part* each : {&parts.left, &parts.rate}) {
    if (each->shown) add(paint(each->text, Tone::faint, style));
  }
  for (size_t i = 0; i < parts.values; ++i) {
    add(paint(parts.names[i].text, Tone::faint, style) + " " + parts.numbers[i].text);
  }
  return line;
}

std::string draw_status(const RunStatus& status, const LineStyle& style) {
  std::vector<std::string> items;
  if (status.seconds_left) items.push_back("run " + format_seconds(*status.seconds_left) + " left");
  for (const auto& [name, value] : status.rates) items.push_back(printable(name) + " " + shortest(value));
  if (status.best && status.best->epoch > 0) {
    items.push_back("best " + printable(status.best->monitor) + " " + value_text(status.best->value, style.digits) +
                    " at epoch " + std::to_string(status.best->epoch));
  }
  std::string line;
  for (const std::string& item : items) {
    if (columns(line) + static_cast<int>(gap.size()) + columns(item) > style.width) break;
    line.append(gap).append(item);
  }
  return paint(line, Tone::faint, style);
}

std::string pass_label(Stage stage, int64_t epoch, std::optional<int64_t> epochs) {
  std::string label = stage_name(stage);
  if (epoch <= 0) return label;
  if (stage == Stage::train) label = "epoch";
  label.resize(std::max(label.size(), size_t{5}), ' ');
  const std::string all = epochs ? std::to_string(*epochs) : "";
  return label + " " + right(std::to_string(epoch), epochs ? all.size() : label_digits) + (epochs ? "/" + all : "");
}

std::string value_text(double value, int digits) {
  std::string text = format_number(value, digits);
  const bool share = value == 0 || std::abs(value) == 1;
  if (share && digits > 0) text += "." + std::string(static_cast<size_t>(digits), '0');
  return text;
}

std::string time_text(double seconds) {
  if (!(seconds < 59.95)) return format_seconds(seconds);
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.1f s", std::max(seconds, 0.0));
  return buffer;
}

std::string step_time_text(double seconds) {
  char buffer[64];
  const double milliseconds = seconds * 1e3;
  if (milliseconds < 1) {
    std::snprintf(buffer, sizeof buffer, "%.2f ms", milliseconds);
  } else if (milliseconds < 1000) {
    std::snprintf(buffer, sizeof buffer, milliseconds < 99.95 ? "%.1f ms" : "%.0f ms", milliseconds);
  } else {
    std::snprintf(buffer, sizeof buffer, "%.2f s", seconds);
  }
  return buffer;
}

}  // namespace athanor::terminal
