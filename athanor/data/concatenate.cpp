// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/concatenate.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>

#include <algorithm>

#include "athanor/core/error.hpp"

namespace athanor {

Tree concatenate(const std::vector<Tree>& parts) {
  if (parts.empty()) return {};
  const Tree& first = parts.front();
  if (std::ranges::all_of(parts, is_list_of_texts)) {
    Tree::List texts;
    for (const Tree& part : parts) texts.insert(texts.end(), part.items().begin(), part.items().end());
    return Tree(std::move(texts));
  }
  for (const Tree& part : parts) {
    if (part.kind() != first.kind() || (!part.is_tensor() && part.size() != first.size())) {
      throw Error({.what = "two batches differ in structure", .got = part.describe(), .expected = first.describe()});
    }
  }
  auto children = [&](auto key) {
    std::vector<Tree> found;
    found.reserve(parts.size());
    for (const Tree& part : parts) found.push_back(part[key]);
    return concatenate(found);
  };
  if (first.is_tensor()) {
    std::vector<at::Tensor> tensors;
    tensors.reserve(parts.size());
    auto of_a_sample = [](const at::Tensor& tensor) { return tensor.sizes().slice(std::min<size_t>(tensor.dim(), 1)); };
    for (const Tree& part : parts) {
      if (part.tensor().dim() != first.tensor().dim() || of_a_sample(part.tensor()) != of_a_sample(first.tensor())) {
        throw Error({.what = "two batches differ in shape",
                     .got = part.describe(),
                     .expected = first.describe() + ", but for the number of samples"});
      }
      tensors.push_back(part.tensor());
    }
    return Tree(first.tensor().dim() == 0 ? at::stack(tensors) : at::cat(tensors));
  }
  if (first.is_list()) {
    Tree::List items;
    for (size_t i = 0; i < first.size(); ++i) items.push_back(children(i));
    return Tree(std::move(items));
  }
  if (first.is_dictionary()) {
    Tree::Dictionary entries;
    for (const auto& [name, item] : first.entries()) entries.emplace_back(name, children(std::string_view(name)));
    return Tree(std::move(entries));
  }
  return first;
}

Batch concatenate_batches(const std::vector<Batch>& parts) {
  Batch whole;
  if (parts.empty()) return whole;
  std::vector<Tree> inputs;
  std::vector<Tree> targets;
  std::vector<at::Tensor> weights;
  std::vector<at::Tensor> indices;
  const auto weighted = std::ranges::find_if(parts, [](const Batch& part) { return part.weight.has_value(); });
  for (const Batch& part : parts) {
    inputs.push_back(part.input);
    targets.push_back(part.target);
    indices.push_back(part.indices);
    whole.samples += part.samples;
    if (weighted == parts.end()) continue;
    const int64_t rows = part.indices.defined() ? part.indices.size(0) : count_samples(part);
    weights.push_back(part.weight ? *part.weight : at::ones({rows}, weighted->weight->options()));
  }
  whole.input = concatenate(inputs);
  whole.target = concatenate(targets);
  if (!weights.empty()) whole.weight = at::cat(weights);
  if (std::ranges::all_of(indices, [](const at::Tensor& each) { return each.defined(); })) {
    whole.indices = at::cat(indices);
  }
  whole.part = parts.front().part;
  return whole;
}

}  // namespace athanor
