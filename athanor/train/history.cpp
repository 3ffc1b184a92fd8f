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
  std::vector<int64_t> numbers, steps, layout_of_epoch;
  std::vector<double> seconds, values;
  std::vector<std::vector<std::string>> layouts;
  for (const History::Epoch& epoch : epochs) {
    numbers.push_back(epoch.number);
    steps.push_back(epoch.steps);
    seconds.push_back(epoch.seconds);
    for (const auto& [name, value] : epoch.values) values.push_back(value);
    const auto names = epoch.values.names();
    auto found = std::find(layouts.begin(), layouts.end(), names);
    if (found == layouts.end()) found = layouts.insert(layouts.end(), names);
    layout_of_epoch.push_back(found - layouts.begin());
  }
  Tree::List layout_trees;
  for (const auto& names : layouts) layout_trees.push_back(Tree::list({names.begin(), names.end()}));
  return {{"numbers", to_tensor(numbers)},        {"steps", to_tensor(steps)},
          {"seconds", to_tensor(seconds)},        {"layouts", Tree::list(std::move(layout_trees))},
          {"layout", to_tensor(layout_of_epoch)}, {"values", to_tensor(values)}};
}

std::vector<History::Epoch> unpack(const Tree& tree) {
  const auto numbers = to_vector<int64_t>(tree["numbers"].tensor());
  const auto steps = to_vector<int64_t>(tree["steps"].tensor());
  const auto seconds = to_vector<double>(tree["seconds"].tensor());
  const auto layout_of_epoch = to_vector<int64_t>(tree["layout"].tensor());
  const auto values = to_vector<double>(tree["values"].tensor());
  const Tree& layouts = tree["layouts"];

  const auto require = [](bool holds) {
    if (holds) return;
    throw Error({.what = "a saved history can't be read",
                 .got = "columns of different lengths",
                 .expected = "one number, step count, time and layout an epoch, and the values of each layout",
                 .todo = "load a state that History::state wrote"});
  };
  require(steps.size() == numbers.size() && seconds.size() == numbers.size() &&
          layout_of_epoch.size() == numbers.size());

  std::vector<History::Epoch> epochs;
  epochs.reserve(numbers.size());
  size_t next = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    History::Epoch epoch{.number = numbers[i], .steps = steps[i], .seconds = seconds[i], .values = {}};
    require(layout_of_epoch[i] >= 0 && static_cast<size_t>(layout_of_epoch[i]) < layouts.size());
    const Tree& names = layouts[static_cast<size_t>(layout_of_epoch[i])];
    require(values.size() - next >= names.size());
    for (size_t column = 0; column < names.size(); ++column) epoch.values.set(names[column].text(), values[next++]);
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

// Columns on the screen of UTF-8 text.
size_t columns_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

struct Column {
  std::string upper = {};  // first row of a header in two rows
  std::string lower = {};
  std::vector<std::string> cells = {};

  [[nodiscard]] size_t width() const {
    size_t width = std::max(columns_of(upper), columns_of(lower));
    for (const std::string& cell : cells) width = std::max(width, columns_of(cell));
    return width;
  }
};

bool is_whole(double value) { return value == std::trunc(value) && std::abs(value) < 1e6; }

Column column_of(const std::string& name, const History& history) {
  const bool all_whole = std::all_of(history.epochs().begin(), history.epochs().end(), [&](const auto& epoch) {
    const auto value = epoch.values.find(name);
    return !value || !std::isfinite(*value) || is_whole(*value);
  });
  Column column{.lower = name};
  for (const History::Epoch& epoch : history.epochs()) {
    const auto value = epoch.values.find(name);
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
    for (const auto& [name, value] : epoch.values) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

std::vector<double> History::operator[](std::string_view name) const {
  std::vector<double> column;
  column.reserve(epochs_.size());
  bool known = false;
  for (const Epoch& epoch : epochs_) {
    const auto value = epoch.values.find(name);
    known = known || value.has_value();
    column.push_back(value.value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  if (known) return column;
  const auto known_names = names();
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
  if (!epochs_.empty() && epochs_.back().number == epoch.number) {
    epochs_.back() = std::move(epoch);
  } else {
    epochs_.push_back(std::move(epoch));
  }
}

void History::to_csv(const std::filesystem::path& path) const {
  const auto columns = names();
  std::string text = "epoch,steps,seconds";
  for (const std::string& name : columns) text += "," + quoted(name);
  text += "\n";
  for (const Epoch& epoch : epochs_) {
    text += std::to_string(epoch.number) + "," + std::to_string(epoch.steps) + "," + exact(epoch.seconds);
    for (const std::string& name : columns) {
      const auto value = epoch.values.find(name);
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
    columns[0].cells.push_back(std::to_string(epoch.number) + (marked ? "*" : " "));
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, epoch.seconds, std::chars_format::fixed, 1).ptr;
    columns[1].cells.emplace_back(buffer, end);
  }
  for (const std::string& name : names()) columns.push_back(column_of(name, *this));

  const bool two_rows = total_width(columns) > table_width;
  if (two_rows) split_headers(columns);
  std::vector<size_t> widths;
  for (const Column& column : columns) widths.push_back(column.width());
  std::string text;
  const auto row = [&](auto&& cell_of) {
    std::string line;
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string& cell = cell_of(columns[i]);
      if (i > 0) line += "  ";
      line += std::string(widths[i] - columns_of(cell), ' ') + cell;
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
