// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/sample_table.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>

namespace athanor::track {
namespace {

events::Table::Cell number_or_class(const Tree& tree) {
  const at::Tensor tensor = tree.empty() ? at::Tensor() : tree.first_tensor();
  if (!tensor.defined()) return std::string();
  if (tensor.numel() == 1) return tensor.item<double>();
  if (tensor.dim() == 1 && tensor.is_floating_point()) return static_cast<double>(at::argmax(tensor).item<int64_t>());
  return tree.describe();
}

events::Table::Cell picture_of(const Tree& tree) {
  const at::Tensor tensor = tree.empty() ? at::Tensor() : tree.first_tensor();
  if (!tensor.defined()) return std::string();
  const bool shaped =
      tensor.dim() == 2 || (tensor.dim() == 3 && (tensor.size(0) == 1 || tensor.size(0) == 3 || tensor.size(0) == 4));
  const bool typed = tensor.is_floating_point() || tensor.scalar_type() == at::kByte;
  if (!shaped || !typed || tensor.numel() == 0) return tree.describe();
  if (!tensor.is_floating_point()) return events::Image{tensor};
  const at::Tensor pixels = tensor.to(at::kFloat);
  const auto low = pixels.min().item<float>();
  const auto high = pixels.max().item<float>();
  if ((low >= 0 && high <= 1) || !(high > low)) return events::Image{pixels};
  return events::Image{(pixels - low) / (high - low)};
}

}  // namespace

events::Table sample_table(const std::vector<RankedSample>& samples) {
  events::Table table{.columns = {"rank", "index", "value", "target", "prediction", "input"}};
  for (size_t i = 0; i < samples.size(); ++i) {
    const RankedSample& sample = samples[i];
    table.rows.push_back({static_cast<double>(i + 1), static_cast<double>(sample.index), sample.value,
                          number_or_class(sample.target), number_or_class(sample.prediction),
                          picture_of(sample.input)});
  }
  return table;
}

}  // namespace athanor::track
