// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/batch.hpp"

#include <string>

#include "athanor/core/error.hpp"

namespace athanor {
namespace {

int64_t count_rows(const Batch& batch) {
  if (batch.indices.defined()) return batch.indices.size(0);
  if (batch.weight && batch.weight->defined() && batch.weight->dim() > 0) return batch.weight->size(0);
  return count_samples(batch);
}

}  // namespace

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
  auto cut = [&](const at::Tensor& tensor) {
    const bool of_samples = tensor.defined() && tensor.dim() > 0 && tensor.size(0) == rows;
    return of_samples ? tensor.narrow(0, first, last - first) : tensor;
  };
  // floor(samples * end / rows), without a product that might overflow.
  auto counted_before = [&](int64_t end) { return rows == 0 ? 0 : samples / rows * end + samples % rows * end / rows; };
  Batch slice;
  slice.input = input.map(cut);
  slice.target = target.map(cut);
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
