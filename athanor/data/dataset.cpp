// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/dataset.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/data/gather.hpp"

namespace athanor {
namespace {

int64_t common_length(const Tree& input, const Tree& target) {
  std::optional<int64_t> length;
  std::string first_path;
  auto check = [&](const std::string& path, const Tree& leaf) {
    if (!leaf.is_tensor() || !leaf.tensor().defined() || leaf.tensor().dim() == 0) {
      throw Error({.what = "data in memory are tensors with the samples along dimension 0",
                   .where = path,
                   .got = leaf.describe(),
                   .expected = "a tensor of at least one dimension"});
    }
    const int64_t size = leaf.tensor().size(0);
    if (!length) {
      length = size;
      first_path = path;
    } else if (*length != size) {
      throw Error({.what = "inputs and targets differ in length",
                   .where = path + " beside " + first_path,
                   .got = std::to_string(size) + " samples in " + leaf.describe(),
                   .expected = std::to_string(*length) + " samples, as in " + first_path,
                   .todo = "give every input its target; dimension 0 counts the samples"});
    }
  };
  input.walk(check, "input");
  target.walk(check, "target");
  if (!length) throw Error({.what = "a data set of nothing", .expected = "at least one tensor of inputs"});
  return *length;
}

}  // namespace

Sample detail::to_sample(std::vector<at::Tensor> elements) {
  return to_sample(Tree::List(std::make_move_iterator(elements.begin()), std::make_move_iterator(elements.end())));
}

Sample detail::to_sample(Tree::List elements) {
  if (elements.empty()) {
    throw Error({.what = "a sample is an empty list of tensors",
                 .expected = "at least one tensor; the last of several is the target"});
  }
  Sample sample;
  if (elements.size() > 1) {
    sample.target = std::move(elements.back());
    elements.pop_back();
  }
  sample.input = elements.size() == 1 ? std::move(elements.front()) : Tree(std::move(elements));
  return sample;
}

struct Dataset::Tensors final : Source {
  Tensors(Tree input, Tree target)
      : length(common_length(input, target)), input(std::move(input)), target(std::move(target)) {}
  int64_t size() const override { return length; }
  void batch(std::span<const int64_t> indices, SampleRandom, Batch& into) override {
    gather(input, indices, into.input);
    gather(target, indices, into.target);
    into.weight.reset();
  }
  std::shared_ptr<Source> slice(int64_t first, int64_t last) const override {
    auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, first, last - first); };
    return std::make_shared<Tensors>(input.map(part), target.map(part));
  }
  const Tree* whole_target() const noexcept override { return &target; }
  int64_t length;
  Tree input;
  Tree target;
};

struct Dataset::Slice final : Source {
  Slice(std::shared_ptr<Source> whole, int64_t first, int64_t last)
      : whole(std::move(whole)), first(first), last(last) {}
  int64_t size() const override { return last - first; }
  void batch(std::span<const int64_t> indices, SampleRandom random, Batch& into) override {
    std::vector<int64_t> moved(indices.begin(), indices.end());
    for (int64_t& index : moved) index += first;
    whole->batch(moved, random, into);
  }
  std::shared_ptr<Source> whole;
  int64_t first;
  int64_t last;
};

std::shared_ptr<Dataset::Source> Dataset::Source::slice(int64_t, int64_t) const { return nullptr; }

Dataset::Dataset(Tree input, Tree target) : source_(std::make_shared<Tensors>(std::move(input), std::move(target))) {}

void Dataset::batch(std::span<const int64_t> indices, SampleRandom random, Batch& into) const {
  if (!defined()) throw Error({.what = "there are no data", .expected = "a data set of tensors or of a class"});
  const int64_t length = size();
  for (int64_t index : indices) {
    if (index >= 0 && index < length) continue;
    throw Error({.what = "a sample outside of its data set",
                 .got = "sample " + std::to_string(index),
                 .expected = "an index from 0 to below " + std::to_string(length)});
  }
  // `indices` may lie in the tensor that `into` holds, and a source may put another batch in its place.
  const at::Tensor held = std::move(into.indices);
  into.samples = 0;
  source_->batch(indices, random, into);
  if (into.samples == 0) into.samples = static_cast<int64_t>(indices.size());
  if (held.defined() && held.const_data_ptr() == indices.data()) {
    into.indices = held;
  } else {
    into.indices = at::empty({static_cast<int64_t>(indices.size())}, at::TensorOptions().dtype(at::kLong));
    std::copy(indices.begin(), indices.end(), static_cast<int64_t*>(into.indices.mutable_data_ptr()));
  }
}

Dataset Dataset::slice(int64_t first, int64_t last) const {
  if (!defined() || first < 0 || last < first || last > size()) {
    throw Error({.what = "a slice outside of its data set",
                 .got = std::to_string(first) + " to " + std::to_string(last),
                 .expected = "a range within 0 to " + std::to_string(size())});
  }
  if (auto part = source_->slice(first, last)) return Dataset(std::move(part));
  return Dataset(std::make_shared<Slice>(source_, first, last));
}

}  // namespace athanor
