// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/dataset.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
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

at::Tensor checked_weight(at::Tensor weight, int64_t length) {
  if (!weight.defined()) return weight;
  if (weight.dim() != 1 || weight.size(0) != length) {
    throw Error({.what = "the sample weights do not fit the data",
                 .where = "weight",
                 .got = describe(weight),
                 .expected = "one weight for each sample, (" + std::to_string(length) + ")"});
  }
  if (weight.is_complex()) {
    throw Error({.what = "the sample weights are not real numbers",
                 .where = "weight",
                 .got = describe(weight),
                 .expected = "float32"});
  }
  weight = weight.detach();
  if (weight.scalar_type() != at::kDouble) weight = weight.to(at::kFloat);
  const at::Tensor values = weight.to(at::kCPU, at::kDouble).contiguous();
  const auto* value = static_cast<const double*>(values.const_data_ptr());
  for (int64_t i = 0; i < length; ++i) {
    if (value[i] >= 0 && std::isfinite(value[i])) continue;
    throw Error({.what = "a sample has an impossible weight",
                 .where = "weight of sample " + std::to_string(i),
                 .got = format_number(value[i]),
                 .expected = "a finite number, 0 or more",
                 .todo = "a weight of 0 leaves a sample out of the loss"});
  }
  return weight;
}

/// The number of samples that can be seen: dimension 0 of the first tensor; nothing when that tensor has no dimensions,
/// or when there are values but no tensors.
std::optional<int64_t> seen_samples(const Batch& batch) {
  at::Tensor first = batch.input.first_tensor();
  if (!first.defined()) first = batch.target.first_tensor();
  if (first.defined()) return first.dim() > 0 ? std::optional(first.size(0)) : std::nullopt;
  return batch.input.empty() && batch.target.empty() ? std::optional<int64_t>(0) : std::nullopt;
}

void check_answer(const Batch& batch, int64_t asked, bool counts_itself) {
  const std::optional<int64_t> seen = seen_samples(batch);
  const bool counts_otherwise = counts_itself || (batch.samples != 0 && batch.samples != seen);
  if (seen && *seen < asked && !counts_otherwise) {
    throw Error({.what = "the data set gave fewer samples than it was asked for",
                 .got = std::to_string(*seen) + " samples",
                 .expected = std::to_string(asked) + " samples, one for each index",
                 .todo = "answer for every index below size(); when dimension 0 is not the samples, set Batch::samples "
                         "or LoaderOptions::count"});
  }
  const bool fits = !batch.weight || (batch.weight->defined() && batch.weight->dim() == 1 &&
                                      (batch.weight->size(0) == asked || counts_otherwise));
  if (!fits) {
    throw Error({.what = "the weights of a batch do not fit its samples",
                 .got = describe(*batch.weight),
                 .expected = "one weight for each sample, (" + std::to_string(asked) + ")"});
  }
}

}  // namespace

Sample detail::to_sample(std::vector<at::Tensor> elements) {
  return to_sample(Tree::List(std::make_move_iterator(elements.begin()), std::make_move_iterator(elements.end())));
}

Batch detail::to_batch(std::pair<at::Tensor, at::Tensor> elements) {
  return Batch::from_list({std::move(elements.first), std::move(elements.second)});
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
  Tensors(int64_t length, Tree input, Tree target, at::Tensor weight)
      : length(length), input(std::move(input)), target(std::move(target)), weight(std::move(weight)) {}
  int64_t size() const override { return length; }
  void batch(std::span<const int64_t> indices, SampleRandom, Batch& into) override {
    gather(input, indices, into.input);
    gather(target, indices, into.target);
    if (!weight.defined()) {
      into.weight.reset();
    } else {
      if (!into.weight) into.weight.emplace();
      gather(weight, indices, *into.weight);
    }
  }
  std::shared_ptr<Source> slice(int64_t first, int64_t last) const override {
    auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, first, last - first); };
    return std::make_shared<Tensors>(last - first, input.map(part), target.map(part),
                                     weight.defined() ? part(weight) : weight);
  }
  const Tree* whole_target() const noexcept override { return &target; }
  int64_t length;
  Tree input;
  Tree target;
  at::Tensor weight;
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

Dataset::Dataset(Tree input, Tree target) : Dataset(std::move(input), std::move(target), at::Tensor()) {}

Dataset::Dataset(Tree input, Tree target, at::Tensor weight) {
  const int64_t length = common_length(input, target);
  weight = checked_weight(std::move(weight), length);
  source_ = std::make_shared<Tensors>(length, std::move(input), std::move(target), std::move(weight));
}

void Dataset::batch(std::span<const int64_t> indices, SampleRandom random, Batch& into, const BatchCount& count) const {
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
  const auto asked = static_cast<int64_t>(indices.size());
  check_answer(into, asked, count != nullptr);
  if (held.defined() && held.const_data_ptr() == indices.data()) {
    into.indices = held;
  } else {
    into.indices = at::empty({asked}, at::TensorOptions().dtype(at::kLong));
    std::copy(indices.begin(), indices.end(), static_cast<int64_t*>(into.indices.mutable_data_ptr()));
  }
  const bool told = into.samples != 0;
  if (!told) into.samples = asked;
  if (count) into.samples = count(into);
  if (into.samples < 1 && (told || count)) {
    throw Error({.what = "a batch counts less than one",
                 .got = std::to_string(into.samples) + (count ? " from LoaderOptions::count" : " from Batch::samples"),
                 .expected = "1 or more: samples, nodes, tokens"});
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
