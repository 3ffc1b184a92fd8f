// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/dataset.hpp"

#include <algorithm>

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
  Batch batch = Batch::from_list(std::move(elements));
  return {std::move(batch.input), std::move(batch.target)};
}

struct Dataset::Tensors final : Source {
  Tensors(Tree input, Tree target)
      : length(common_length(input, target)), input(std::move(input)), target(std::move(target)) {}
  int64_t size() const override { return length; }
  void batch(std::span<const int64_t> indices, SampleRandom, Batch& into) override {
    gather(input, indices, into.input);
    gather(target, indices, into.target);
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
  into.samples = 0;
  source_->batch(indices, random, into);
  if (into.samples == 0) into.samples = static_cast<int64_t>(indices.size());
}

Dataset Dataset::slice(int64_t first, int64_t last) const {
  if (first < 0 || last < first || last > size()) {
    throw Error({.what = "a slice outside of its data set",
                 .got = std::to_string(first) + " to " + std::to_string(last),
                 .expected = "a range within 0 to " + std::to_string(size())});
  }
  if (auto part = source_->slice(first, last)) return Dataset(std::move(part));
  return Dataset(std::make_shared<Slice>(source_, first, last));
}

}  // namespace athanor
