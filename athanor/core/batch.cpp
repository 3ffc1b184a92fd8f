// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/batch.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "athanor/core/error.hpp"

namespace athanor {
namespace {

int64_t count_rows(const Batch& batch) {
  if (batch.indices.defined()) return batch.indices.size(0);
  if (batch.weight && batch.weight->defined() && batch.weight->dim() > 0) return batch.weight->size(0);
  return count_samples(batch);
}

bool is_text(const Tree& tree) noexcept { return tree.kind() == Tree::Kind::text; }

/// The rows from `first` to `last` of every tensor and every list of texts with that many rows.
Tree cut_rows(const Tree& tree, int64_t rows, int64_t first, int64_t last) {
  if (is_list_of_texts(tree)) {
    if (tree.items().size() != static_cast<size_t>(rows)) return tree;
    return Tree(Tree::List(tree.items().begin() + first, tree.items().begin() + last));
  }
  if (tree.is_list()) {
    Tree::List items;
    for (const Tree& item : tree.items()) items.push_back(cut_rows(item, rows, first, last));
    return Tree(std::move(items));
  }
  if (tree.is_dictionary()) {
    Tree::Dictionary entries;
    for (const auto& [name, item] : tree.entries()) entries.emplace_back(name, cut_rows(item, rows, first, last));
    return Tree(std::move(entries));
  }
  if (!tree.is_tensor()) return tree;
  const at::Tensor& tensor = tree.tensor();
  const bool of_samples = tensor.defined() && tensor.dim() > 0 && tensor.size(0) == rows;
  return of_samples ? Tree(tensor.narrow(0, first, last - first)) : tree;
}

}  // namespace

bool is_list_of_texts(const Tree& tree) noexcept {
  if (!tree.is_list() || tree.items().empty()) return false;
  return std::ranges::all_of(tree.items(), [](const Tree& item) {
    return is_text(item) || (item.is_list() && !item.items().empty() && std::ranges::all_of(item.items(), is_text));
  });
}

Batch Batch::from_list(std::vector<at::Tensor> elements) {
  if (elements.empty()) {
    throw Error({.what = "a batch is an empty list of tensors",
                 .expected = "at least one tensor; the last of several is the target"});
  }
  Batch batch;
  if (elements.size() > 1) {
    batch.target = Tree(std::move(elements.back()));
    elements.pop_back();
  }
  batch.input = elements.size() == 1 ? Tree(std::move(elements.front())) : Tree(std::move(elements));
  batch.samples = count_samples(batch);
  return batch;
}

Batch Batch::to(at::Device device) const {
  Batch moved;
  moved.input = input.to(device);
  moved.target = target.to(device);
  if (weight) moved.weight = Tree(*weight).to(device).tensor();
  moved.indices = indices;
  moved.samples = samples;
  moved.part = part;
  return moved;
}

Batch Batch::slice(int64_t first, int64_t last) const {
  const int64_t rows = count_rows(*this);
  if (first < 0 || last < first || last > rows) {
    throw Error({.what = "a slice outside of its batch",
                 .got = std::to_string(first) + " to " + std::to_string(last),
                 .expected = "a range within 0 to " + std::to_string(rows)});
  }
  auto cut = [&](const at::Tensor& tensor) { return cut_rows(Tree(tensor), rows, first, last).tensor(); };
  // floor(samples * end / rows), without a product that might overflow.
  auto counted_before = [&](int64_t end) { return rows == 0 ? 0 : samples / rows * end + samples % rows * end / rows; };
  Batch slice;
  slice.input = cut_rows(input, rows, first, last);
  slice.target = cut_rows(target, rows, first, last);
  if (weight) slice.weight = cut(*weight);
  slice.indices = cut(indices);
  slice.samples = counted_before(last) - counted_before(first);
  slice.part = part;
  return slice;
}

int64_t count_samples(const Batch& batch) {
  at::Tensor tensor = batch.input.first_tensor();
  if (!tensor.defined()) tensor = batch.target.first_tensor();
  return tensor.defined() && tensor.dim() > 0 ? tensor.size(0) : 0;
}

}  // namespace athanor
