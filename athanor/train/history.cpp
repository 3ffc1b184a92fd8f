// SPDX-License-Identifier: Apache-2.0
// History: looking up, the table, CSV, and saving itself.
#include "athanor/train/history.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <ostream>
#include <type_traits>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/utf8.hpp"

namespace athanor {
namespace {

constexpr size_t table_width = 80;
constexpr int table_decimals = 4;

template <class T>
at::Tensor to_tensor(const std::vector<T>& values) {
  constexpr auto dtype = std::is_same_v<T, double> ? at::kDouble : at::kLong;
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::TensorOptions().dtype(dtype));
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<T>());
  return tensor;
}

template <class T>
std::vector<T> to_vector(const at::Tensor& tensor) {
  constexpr auto dtype = std::is_same_v<T, double> ? at::kDouble : at::kLong;
  if (tensor.dim() != 1 || tensor.scalar_type() != dtype) {
    throw Error({.what = "a saved history can't be read",
                 .got = describe(tensor),
                 .expected = dtype_name(dtype) + " of one dimension",
                 .todo = "load a state that History::state wrote"});
  }
  const at::Tensor values = tensor.cpu().contiguous();
  const T* begin = values.const_data_ptr<T>();
  return {begin, begin + values.numel()};
}

// Columns as tensors, so that thousands of epochs stay a handful of entries and every bit of a NaN survives. Epochs
// with the same names in the same order share one layout.
Tree pack(const std::vector<History::Epoch>& epochs) {
  std::vector<int64_t> numbers, steps, cut_short, layout_of_epoch, value_counts;
  std::vector<double> seconds, parts, values;
  std::vector<std::vector<std::string>> layouts;
  for (const History::Epoch& epoch : epochs) {
    numbers.push_back(epoch.number);
    steps.push_back(epoch.steps);
    seconds.push_back(epoch.seconds);
    parts.push_back(epoch.part);
    cut_short.push_back(epoch.cut_short ? 1 : 0);
    for (const auto& [name, value] : epoch.values) values.push_back(value);
    for (const auto& [name, value] : epoch.settings) values.push_back(value);
    auto names = epoch.values.names();
    value_counts.push_back(static_cast<int64_t>(names.size()));
    for (const auto& [name, value] : epoch.settings) names.push_back(name);
    auto found = std::find(layouts.begin(), layouts.end(), names);
    if (found == layouts.end()) found = layouts.insert(layouts.end(), names);
    layout_of_epoch.push_back(found - layouts.begin());
  }
  Tree::List layout_trees;
  for (const auto& names : layouts) layout_trees.push_back(Tree::list({names.begin(), names.end()}));
  return {{"numbers", to_tensor(numbers)},          {"steps", to_tensor(steps)},
          {"seconds", to_tensor(seconds)},          {"parts", to_tensor(parts)},
          {"cut_short", to_tensor(cut_short)},      {"layouts", Tree::list(std::move(layout_trees))},
          {"layout", to_tensor(layout_of_epoch)},   {"values", to_tensor(values)},
          {"value_counts", to_tensor(value_counts)}};
}

std::vector<History::Epoch> unpack(const Tree& tree) {
  const auto numbers = to_vector<int64_t>(tree["numbers"].tensor());
  const auto steps = to_vector<int64_t>(tree["steps"].tensor());
  const auto seconds = to_vector<double>(tree["seconds"].tensor());
  const auto parts = to_vector<double>(tree["parts"].tensor());
  const auto cut_short = to_vector<int64_t>(tree["cut_short"].tensor());
  const auto layout_of_epoch = to_vector<int64_t>(tree["layout"].tensor());
  const auto values = to_vector<double>(tree["values"].tensor());
  const auto value_counts = to_vector<int64_t>(tree["value_counts"].tensor());
  const Tree& layouts = tree["layouts"];

  const auto require = [](bool holds) {
    if (holds) return;
    throw Error({.what = "a saved history can't be read",
                 .got = "columns of different lengths",
                 .expected = "one number, step count, time and layout an epoch, and the values of each layout",
                 .todo = "load a state that History::state wrote"});
  };
  for (const size_t size :
       {steps.size(), seconds.size(), parts.size(), cut_short.size(), layout_of_epoch.size(), value_counts.size()}) {
    require(size == numbers.size());
  }

  std::vector<History::Epoch> epochs;
  epochs.reserve(numbers.size());
  size_t next = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    History::Epoch epoch{.number = numbers[i],
                         .steps = steps[i],
                         .seconds = seconds[i],
                         .values = {},
                         .settings = {},
                         .part = parts[i],
                         .cut_short = cut_short[i] != 0};
    require(layout_of_epoch[i] >= 0 && static_cast<size_t>(layout_of_epoch[i]) < layouts.size());
    const Tree& names = layouts[static_cast<size_t>(layout_of_epoch[i])];
    require(values.size() - next >= names.size());
    for (size_t column = 0; column < names.size(); ++column) {
      const bool is_value = static_cast<int64_t>(column) < value_counts[i];
      (is_value ? epoch.values : epoch.settings).set(names[column].text(), values[next++]);
    }
    epochs.push_back(std::move(epoch));
  }
  require(next == values.size());
  return epochs;
}

// Independent of the host's locale, and as many digits as it takes to read the same number back.
std::string exact(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) {
    if (c == '"') text += '"';
    text += c;
  }
  return text + '"';
}

struct Column {
  std::string upper = {};  // first row of a header in two rows
  std::string lower = {};
  std::vector<std::string> cells = {};

  [[nodiscard]] size_t width() const {
    size_t width = std::max(count_characters(upper), count_characters(lower));
    for (const std::string& cell : cells) width = std::max(width, count_characters(cell));
    return width;
  }
};

std::optional<double> find(const History::Epoch& epoch, std::string_view name) {
  const auto value = epoch.values.find(name);
  return value ? value : epoch.settings.find(name);
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

// `3`, or `2.25` for a validation within the third epoch.
std::string epoch_text(const History::Epoch& epoch) {
  return epoch.part == 1 || epoch.cut_short ? std::to_string(epoch.number)
                                            : shortest(std::round(epoch.progress() * 1000) / 1000);
}

bool is_whole(double value) { return value == std::trunc(value) && std::abs(value) < 1e6; }

Column column_of(const std::string& name, const History& history) {
  const bool all_whole = std::all_of(history.epochs().begin(), history.epochs().end(), [&](const auto& epoch) {
    const auto value = find(epoch, name);
    return !value || !std::isfinite(*value) || is_whole(*value);
  });
  Column column{.lower = name};
  for (const History::Epoch& epoch : history.epochs()) {
    const auto value = find(epoch, name);
    std::string cell = value ? format_number(*value, table_decimals) : "-";
    if (value && !all_whole && is_whole(*value)) cell += "." + std::string(table_decimals, '0');
    column.cells.push_back(std::move(cell));
  }
  return column;
}

size_t total_width(const std::vector<Column>& columns) {
  size_t width = 0;
  for (const Column& column : columns) width += column.width() + 2;
  return width - 2;
}

// `train_accuracy` becomes `train` above `accuracy`.
void split_headers(std::vector<Column>& columns) {
  for (Column& column : columns) {
    const size_t underscore = column.lower.find('_');
    if (underscore == std::string::npos || underscore == 0) continue;
    column.upper = column.lower.substr(0, underscore);
    column.lower = column.lower.substr(underscore + 1);
  }
}

std::string closing_line(const History& history) {
  std::string line;
  if (const auto& best = history.best()) {
    line = best->epoch > 0 ? "best " + best->monitor + " " + format_number(best->value, table_decimals) + " at epoch " +
                                 std::to_string(best->epoch)
                           : "no best epoch: " + best->monitor + " was never finite";
  }
  if (!history.stop_reason().empty()) line += (line.empty() ? "stopped: " : "; stopped: ") + history.stop_reason();
  return line.empty() ? line : line + "\n";
}

}  // namespace

std::vector<std::string> History::names() const {
  std::vector<std::string> names;
  for (const Epoch& epoch : epochs_) {
    for (const auto& [name, value] : epoch.values) add_once(names, name);
  }
  for (const Epoch& epoch : epochs_) {
    for (const auto& [name, value] : epoch.settings) {
      if (epochs_.front().settings.find(name) != std::optional(value)) add_once(names, name);
    }
  }
  return names;
}

std::vector<double> History::operator[](std::string_view name) const {
  std::vector<double> column;
  column.reserve(epochs_.size());
  bool known = false;
  for (const Epoch& epoch : epochs_) {
    const auto value = find(epoch, name);
    known = known || value.has_value();
    column.push_back(value.value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  if (known) return column;
  auto known_names = names();
  if (!epochs_.empty()) {
    for (const auto& [setting, value] : epochs_.back().settings) add_once(known_names, setting);
  }
  const std::string near = nearest(name, known_names);
  throw Error({.what = "the history has no value '" + std::string(name) + "'",
               .got = std::string(name),
               .expected = known_names.empty() ? "a value of some epoch, but there is no epoch yet"
                                               : "one of " + join(known_names, ", "),
               .todo = near.empty() ? "" : "did you mean " + near + "?"});
}

const History::Epoch& History::last() const {
  if (!epochs_.empty()) return epochs_.back();
  throw Error({.what = "the history has no last epoch", .got = "no epoch", .todo = "call fit first, or ask empty()"});
}

void History::add(Epoch epoch) {
  if (!epochs_.empty() && epochs_.back().number == epoch.number &&
      (epochs_.back().steps == epoch.steps || epochs_.back().cut_short)) {
    epochs_.back() = std::move(epoch);
  } else {
    epochs_.push_back(std::move(epoch));
  }
}

void History::to_csv(const std::filesystem::path& path) const {
  auto columns = names();
  for (const Epoch& epoch : epochs_) {
    for (const auto& [name, value] : epoch.settings) add_once(columns, name);
  }
  std::string text = "epoch,steps,seconds";
  for (const std::string& name : columns) text += "," + quoted(name);
  text += "\n";
  for (const Epoch& epoch : epochs_) {
    text += epoch_text(epoch) + "," + std::to_string(epoch.steps) + "," + exact(epoch.seconds);
    for (const std::string& name : columns) {
      const auto value = find(epoch, name);
      text += "," + (value ? exact(*value) : "");
    }
    text += "\n";
  }
  write_file_atomically(path, text);
}

std::string History::table() const {
  if (epochs_.empty()) return "no epochs yet\n";
  std::vector<Column> columns(2);
  columns[0].lower = "epoch ";
  columns[1].lower = "seconds";
  for (const Epoch& epoch : epochs_) {
    const bool marked = best_ && best_->epoch == epoch.number;
    columns[0].cells.push_back(epoch_text(epoch) + (marked ? "*" : " "));
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, epoch.seconds, std::chars_format::fixed, 1).ptr;
    columns[1].cells.emplace_back(buffer, end);
  }
  for (const std::string& name : names()) columns.push_back(column_of(name, *this));

  const bool two_rows = total_width(columns) > table_width;
  if (two_rows) split_headers(columns);
  std::vector<size_t> widths;
  widths.reserve(columns.size());
  for (const Column& column : columns) widths.push_back(column.width());
  std::string text;
  const auto row = [&](auto&& cell_of) {
    std::string line;
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string& cell = cell_of(columns[i]);
      if (i > 0) line += "  ";
      line += std::string(widths[i] - count_characters(cell), ' ') + cell;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  if (two_rows) row([](const Column& column) -> const std::string& { return column.upper; });
  row([](const Column& column) -> const std::string& { return column.lower; });
  for (size_t i = 0; i < epochs_.size(); ++i) {
    row([i](const Column& column) -> const std::string& { return column.cells[i]; });
  }
  return text + closing_line(*this);
}

void History::state(State& state) {
  Tree epochs = state.saving() ? pack(epochs_) : Tree();
  Tree best;
  if (state.saving() && best_) {
    best = {{"monitor", best_->monitor}, {"epoch", best_->epoch}, {"value", to_tensor(std::vector{best_->value})}};
  }
  std::string reason = stop_reason_;
  state.value("epochs", epochs);
  state.value("best", best);
  state.value("stop_reason", reason);
  if (!state.loading()) return;

  std::vector<Epoch> loaded = unpack(epochs);
  std::optional<Best> loaded_best;
  if (!best.empty()) {
    const auto value = to_vector<double>(best["value"].tensor());
    loaded_best = Best{best["monitor"].text(), best["epoch"].integer(), value.empty() ? 0 : value.front()};
  }
  epochs_ = std::move(loaded);
  best_ = std::move(loaded_best);
  stop_reason_ = std::move(reason);
}

std::ostream& operator<<(std::ostream& stream, const History& history) { return stream << history.table(); }

}  // namespace athanor
