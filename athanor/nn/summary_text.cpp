// SPDX-License-Identifier: Apache-2.0
// Summary: as a table and as JSON.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <ostream>

#include "athanor/core/join_numbers.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/utf8.hpp"
#include "athanor/nn/summary.hpp"

namespace athanor {
namespace {

std::string with_thousands(int64_t number) {
  std::string digits = std::to_string(number);
  for (auto place = static_cast<int64_t>(digits.size()) - 3; place > 0; place -= 3) {
    digits.insert(static_cast<size_t>(place), 1, ',');
  }
  return digits;
}

std::string size_in_bytes_text(int64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  double number = static_cast<double>(bytes) / 1000;
  const char* unit = "kB";
  for (const char* larger : {"MB", "GB", "TB"}) {
    if (number < 1000) break;
    number /= 1000;
    unit = larger;
  }
  return format_number(number, 2) + " " + unit;
}

std::string shapes_text(const Summary::Layer& layer) {
  if (layer.output == Summary::Output::not_seen) return "not seen";
  std::vector<std::string> shapes;
  for (const auto& shape : layer.shapes) shapes.push_back("(" + join_numbers(shape) + ")");
  return join(shapes, " or ") + (layer.output == Summary::Output::unsure ? " ?" : "");
}

struct SummaryRow {
  std::string name, shape, parameters, multiply_adds;
};

/// What a row stands for: the layer itself, or with all below it.
struct RowSum {
  int64_t parameters = 0, frozen = 0, shared = 0, multiply_adds = 0;
  std::string shared_with;
};

std::string parameters_text(const RowSum& sum) {
  std::string text;
  if (sum.parameters > 0) {
    text = with_thousands(sum.parameters);
    if (sum.frozen == sum.parameters) text += " frozen";
    if (sum.frozen > 0 && sum.frozen < sum.parameters) text += ", " + with_thousands(sum.frozen) + " frozen";
  }
  if (sum.shared > 0) {
    if (!text.empty()) text += " + ";
    text += "(" + with_thousands(sum.shared) + " shared with " + sum.shared_with + ")";
  }
  return text;
}

const char* summary_output_name(Summary::Output output) {
  switch (output) {
    case Summary::Output::known:
      return "known";
    case Summary::Output::unsure:
      return "unsure";
    default:
      return "not seen";
  }
}

}  // namespace

std::string Summary::text(const TextOptions& options) const {
  const auto hidden = [&](const Layer& layer) { return options.depth >= 0 && layer.depth > options.depth; };
  std::vector<SummaryRow> rows = {{"Layer (type)", "Output shape", "Parameters", "Multiply-adds"}};
  std::vector<std::string> notes;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    if (hidden(layer)) continue;
    RowSum sum{layer.parameters, layer.frozen, layer.shared, layer.multiply_adds, layer.shared_with};
    for (size_t below = i + 1; layer.depth == options.depth && below < layers.size(); ++below) {
      if (layers[below].depth <= layer.depth) break;
      sum.parameters += layers[below].parameters;
      sum.frozen += layers[below].frozen;
      sum.shared += layers[below].shared;
      sum.multiply_adds += layers[below].multiply_adds;
      if (sum.shared_with.empty()) sum.shared_with = layers[below].shared_with;
    }
    const std::string own = layer.path.substr(layer.path.rfind('.') + 1);
    std::string name(static_cast<size_t>(2 * layer.depth), ' ');
    name += own.empty() ? layer.type : own + " (" + layer.type + ")";
    if (layer.calls > 1) name += " × " + std::to_string(layer.calls);
    rows.push_back({name, shapes_text(layer), parameters_text(sum),
                    sum.multiply_adds > 0 ? with_thousands(sum.multiply_adds) : ""});
    if (!layer.note.empty()) notes.push_back((layer.path.empty() ? layer.type : layer.path) + ": " + layer.note);
  }
  std::array<size_t, 4> widths{};
  for (const SummaryRow& row : rows) {
    const std::array cells = {&row.name, &row.shape, &row.parameters, &row.multiply_adds};
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], count_characters(*cells[i]));
  }
  const std::string rule(widths[0] + widths[1] + widths[2] + widths[3] + 6, '-');
  std::string text;
  for (size_t i = 0; i < rows.size(); ++i) {
    const SummaryRow& row = rows[i];
    const auto fill = [&](const std::string& cell, size_t column) {
      return std::string(widths[column] - count_characters(cell), ' ');
    };
    std::string line = row.name + fill(row.name, 0) + "  " + row.shape + fill(row.shape, 1) + "  " +
                       fill(row.parameters, 2) + row.parameters + "  " + fill(row.multiply_adds, 3) + row.multiply_adds;
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
    if (i == 0) text += rule + "\n";
  }
  text += rule + "\n";
  text += "Parameters      " + with_thousands(parameters) + " (" + with_thousands(trainable) + " trainable, " +
          with_thousands(frozen) + " frozen)\n";
  text += "Multiply-adds   " + with_thousands(multiply_adds) + "\n";
  text += "Memory          input " + size_in_bytes_text(input_bytes) + ", activations and their gradients " +
          size_in_bytes_text(activation_bytes) + ", parameters " + size_in_bytes_text(parameter_bytes) + ", buffers " +
          size_in_bytes_text(buffer_bytes) + "\n";
  for (const std::string& note : notes) text += "Note            " + note + "\n";
  return text;
}

std::string Summary::json() const {
  nlohmann::ordered_json all;
  all["parameters"] = parameters;
  all["trainable"] = trainable;
  all["frozen"] = frozen;
  all["multiply_adds"] = multiply_adds;
  all["input_bytes"] = input_bytes;
  all["activation_bytes"] = activation_bytes;
  all["parameter_bytes"] = parameter_bytes;
  all["buffer_bytes"] = buffer_bytes;
  all["layers"] = nlohmann::ordered_json::array();
  for (const Layer& layer : layers) {
    all["layers"].push_back({{"path", layer.path},
                             {"type", layer.type},
                             {"depth", layer.depth},
                             {"is_leaf", layer.is_leaf},
                             {"parameters", layer.parameters},
                             {"frozen", layer.frozen},
                             {"shared", layer.shared},
                             {"shared_with", layer.shared_with},
                             {"output", summary_output_name(layer.output)},
                             {"shapes", layer.shapes},
                             {"dtype", layer.dtype},
                             {"calls", layer.calls},
                             {"multiply_adds", layer.multiply_adds},
                             {"output_bytes", layer.output_bytes},
                             {"note", layer.note}});
  }
  return all.dump(2);
}

std::ostream& operator<<(std::ostream& stream, const Summary& summary) { return stream << summary.text(); }

}  // namespace athanor
