// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/weights_source.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <unordered_set>

#include "athanor/core/error.hpp"

namespace athanor::detail {
namespace {

std::string layout_text(at::ScalarType dtype, at::IntArrayRef shape) {
  const auto type = safetensors_type_of(dtype);
  std::string text(type ? name_of(*type) : c10::toString(dtype));
  text += " [";
  for (std::size_t i = 0; i < shape.size(); ++i) text.append(i > 0 ? ", " : "").append(std::to_string(shape[i]));
  return text + "]";
}

std::string layout_text(const at::Tensor& tensor) {
  return tensor.defined() ? layout_text(tensor.scalar_type(), tensor.sizes()) : "an undefined tensor";
}

}  // namespace

WeightsReport compare_weights(const WeightsSource& source, Destination destination) {
  WeightsReport report;
  std::unordered_set<std::string_view> asked;
  for (const auto& [name, tensor] : destination) {
    asked.insert(name);
    const auto layout = source.layout(name);
    if (!layout) {
      report.missing.push_back(name);
      continue;
    }
    const bool fits = tensor.defined() && layout->dtype == tensor.scalar_type() && tensor.sizes() == layout->shape;
    if (!fits) {
      report.mismatched.push_back(
          {.name = name, .got = layout_text(layout->dtype, layout->shape), .expected = layout_text(tensor)});
    }
  }
  for (const std::string& name : source.names) {
    if (!asked.contains(name)) report.unexpected.push_back(name);
  }
  return report;
}

void refuse_weights(const WeightsReport& report, const std::string& where, const LoadOptions& options) {
  constexpr std::size_t most_lines = 20;
  std::vector<std::string> lines;
  for (const auto& [name, got, expected] : report.mismatched) {
    lines.push_back(name + ": the file has " + got + ", expected " + expected);
  }
  if (!options.allow_missing) {
    for (const auto& name : report.missing) lines.push_back(name + ": missing in the file");
  }
  if (!options.allow_unexpected) {
    for (const auto& name : report.unexpected) lines.push_back(name + ": only in the file");
  }
  if (lines.empty()) return;
  std::string got = std::to_string(lines.size()) + (lines.size() == 1 ? " difference" : " differences");
  for (std::size_t i = 0; i < std::min(most_lines, lines.size()); ++i) got.append("\n    ").append(lines[i]);
  if (lines.size() > most_lines) got.append("\n    and " + std::to_string(lines.size() - most_lines) + " more");
  throw Error(
      {.what = "the weights in the file do not fit; nothing was loaded",
       .where = where,
       .got = got,
       .expected = "the same names, types and shapes on both sides",
       .todo = "build the net as it was when the file was written; differing names may be allowed by LoadOptions"});
}

WeightsReport copy_weights(const WeightsSource& source, Destination destination, const LoadOptions& options) {
  WeightsReport report = compare_weights(source, destination);
  refuse_weights(report, source.where, options);
  // A source may still refuse a tensor when it is asked for it, and by then nothing may have changed.
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (const auto& [name, tensor] : destination) {
    if (source.layout(name)) copies.emplace_back(tensor, source.tensor(name));
  }
  const at::NoGradGuard no_grad;
  for (auto& [target, values] : copies) target.copy_(values);
  return report;
}

}  // namespace athanor::detail
