// SPDX-License-Identifier: Apache-2.0
// Stacking samples into a batch.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/data/dataset.hpp"

namespace athanor {
namespace {

at::Tensor as_tensor(const Tree& leaf) {
  switch (leaf.kind()) {
    case Tree::Kind::tensor:
      return leaf.tensor();
    case Tree::Kind::real:
      return at::scalar_tensor(leaf.real(), at::TensorOptions().dtype(at::kFloat));
    case Tree::Kind::integer:
      return at::scalar_tensor(leaf.integer(), at::TensorOptions().dtype(at::kLong));
    case Tree::Kind::boolean:
      return at::scalar_tensor(leaf.boolean(), at::TensorOptions().dtype(at::kBool));
    default:
      return {};
  }
}

[[noreturn]] void refuse(const std::string& path, int64_t index, const Tree& got, int64_t first_index,
                         const Tree& first) {
  throw Error({.what = "samples of one batch differ in shape, dtype or structure",
               .where = path + " of sample " + std::to_string(index),
               .got = got.describe(),
               .expected = first.describe() + ", as in sample " + std::to_string(first_index),
               .todo = "bring all samples to one shape in get(), or answer for a whole batch with batch()"});
}

bool same_structure(const Tree& a, const Tree& b) {
  if (a.kind() != b.kind() || a.size() != b.size()) return false;
  return !a.is_dictionary() ||
         std::ranges::all_of(a.entries(), [&](const Tree::Entry& entry) { return b.find(entry.first) != nullptr; });
}

bool is_texts(const Tree& tree) {
  const auto is_text = [](const Tree& item) { return item.kind() == Tree::Kind::text; };
  return is_text(tree) || (tree.is_list() && !tree.items().empty() && std::ranges::all_of(tree.items(), is_text));
}

/// A list with what each sample has: texts have no shape, so one sample may have more of them than another.
Tree listed(const std::vector<const Tree*>& leaves, std::span<const int64_t> indices, const std::string& path) {
  Tree::List items;
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (!is_texts(*leaves[i]) || leaves[i]->kind() != leaves[0]->kind()) {
      refuse(path, indices[i], *leaves[i], indices[0], *leaves[0]);
    }
    items.push_back(*leaves[i]);
  }
  return Tree(std::move(items));
}

Tree stack(const std::vector<const Tree*>& leaves, std::span<const int64_t> indices, const std::string& path) {
  const Tree& first = *leaves.front();
  if (is_texts(first)) return listed(leaves, indices, path);
  for (size_t i = 1; i < leaves.size(); ++i) {
    if (!same_structure(*leaves[i], first)) refuse(path, indices[i], *leaves[i], indices[0], first);
  }
  auto children = [&](auto&& child_of) {
    std::vector<const Tree*> found;
    found.reserve(leaves.size());
    for (const Tree* leaf : leaves) found.push_back(&child_of(*leaf));
    return found;
  };
  if (first.empty()) return {};
  if (first.is_list()) {
    Tree::List items;
    for (size_t i = 0; i < first.size(); ++i) {
      items.push_back(stack(children([&](const Tree& tree) -> const Tree& { return tree[i]; }), indices,
                            path + "." + std::to_string(i)));
    }
    return Tree(std::move(items));
  }
  if (first.is_dictionary()) {
    Tree::Dictionary entries;
    for (const Tree::Entry& entry : first.entries()) {
      const std::string& name = entry.first;
      entries.emplace_back(name, stack(children([&](const Tree& tree) -> const Tree& { return tree[name]; }), indices,
                                       path + "." + name));
    }
    return Tree(std::move(entries));
  }
  std::vector<at::Tensor> tensors;
  for (size_t i = 0; i < leaves.size(); ++i) {
    tensors.push_back(as_tensor(*leaves[i]));
    if (!tensors[i].defined()) {
      throw Error({.what = "a sample holds something that can't be part of a batch",
                   .where = path + " of sample " + std::to_string(indices[i]),
                   .got = leaves[i]->describe(),
                   .expected = "a tensor, a number, a text or a list of texts"});
    }
    if (tensors[i].sizes() != tensors[0].sizes() || tensors[i].scalar_type() != tensors[0].scalar_type()) {
      refuse(path, indices[i], *leaves[i], indices[0], first);
    }
  }
  return Tree(at::stack(tensors));
}

std::optional<at::Tensor> stack_weights(std::span<const Sample> samples, std::span<const int64_t> indices) {
  if (std::ranges::none_of(samples, [](const Sample& sample) { return sample.weight.has_value(); })) return {};
  const at::Tensor weights = at::empty({static_cast<int64_t>(samples.size())}, at::TensorOptions().dtype(at::kFloat));
  auto* weight = static_cast<float*>(weights.mutable_data_ptr());
  for (size_t i = 0; i < samples.size(); ++i) {
    weight[i] = static_cast<float>(samples[i].weight.value_or(1.0));
    if (weight[i] >= 0 && std::isfinite(weight[i])) continue;
    throw Error({.what = "a sample has an impossible weight",
                 .where = "weight of sample " + std::to_string(indices[i]),
                 .got = format_number(*samples[i].weight),
                 .expected = "a finite number, 0 or more"});
  }
  return weights;
}

}  // namespace

Batch collate(std::span<const Sample> samples, std::span<const int64_t> indices) {
  at::NoGradGuard no_grad;
  Batch batch;
  if (samples.empty()) return batch;
  std::vector<const Tree*> inputs;
  std::vector<const Tree*> targets;
  for (const Sample& sample : samples) {
    inputs.push_back(&sample.input);
    targets.push_back(&sample.target);
  }
  batch.input = stack(inputs, indices, "input");
  batch.target = stack(targets, indices, "target");
  batch.weight = stack_weights(samples, indices);
  batch.samples = static_cast<int64_t>(samples.size());
  return batch;
}

Batch detail::collate_all(const std::vector<Sample>& samples, std::span<const int64_t> indices) {
  return collate(samples, indices);
}

}  // namespace athanor
