// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/batch.hpp"

#include "athanor/core/error.hpp"

namespace athanor {

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
  return moved;
}

int64_t count_samples(const Batch& batch) {
  at::Tensor tensor = batch.input.first_tensor();
  if (!tensor.defined()) tensor = batch.target.first_tensor();
  return tensor.defined() && tensor.dim() > 0 ? tensor.size(0) : 0;
}

}  // namespace athanor
