// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/buffers.hpp"

#include <torch/torch.h>

namespace athanor {

Buffers::Buffers(const Nets& nets) {
  torch::NoGradGuard no_grad;
  for (const NamedNet& net : nets) {
    for (const torch::Tensor& buffer : net.module->buffers()) {
      if (!buffer.defined() || buffer.numel() == 0) continue;
      buffers_.push_back(buffer);
      copies_.push_back(buffer.clone());
    }
  }
}

void Buffers::keep() {
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < buffers_.size(); ++i) copies_[i].copy_(buffers_[i], /*non_blocking=*/true);
}

void Buffers::restore() {
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < buffers_.size(); ++i) buffers_[i].copy_(copies_[i], /*non_blocking=*/true);
}

void Buffers::restore_where(const at::Tensor& condition) {
  torch::NoGradGuard no_grad;
  const at::Tensor found = condition != 0;
  for (size_t i = 0; i < buffers_.size(); ++i) {
    if (buffers_[i].device() != found.device()) continue;
    buffers_[i].copy_(at::where(found, copies_[i], buffers_[i]));
  }
}

}  // namespace athanor
