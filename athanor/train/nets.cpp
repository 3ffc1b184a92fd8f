// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/nets.hpp"

#include <torch/torch.h>

namespace athanor {

NamedTensors named_tensors(const Nets& nets) {
  NamedTensors tensors;
  for (const NamedNet& net : nets) {
    const std::string prefix = nets.size() == 1 ? "" : net.name + ".";
    for (const auto& item : net.module->named_parameters()) tensors.emplace_back(prefix + item.key(), item.value());
    for (const auto& item : net.module->named_buffers()) tensors.emplace_back(prefix + item.key(), item.value());
  }
  return tensors;
}

int64_t count_parameters(const Nets& nets) {
  int64_t count = 0;
  for (const NamedNet& net : nets) {
    for (const torch::Tensor& parameter : net.module->parameters()) {
      if (parameter.requires_grad()) count += parameter.numel();
    }
  }
  return count;
}

at::Device device_of(const Nets& nets) {
  for (const NamedNet& net : nets) {
    for (const torch::Tensor& parameter : net.module->parameters()) return parameter.device();
  }
  return at::kCPU;
}

void move_to(const Nets& nets, at::Device device) {
  for (const NamedNet& net : nets) net.module->to(device);
}

void begin_training(const Nets& nets) {
  for (const NamedNet& net : nets) {
    if (!net.module->is_training()) net.module->train();
  }
}

EvalMode::EvalMode(const Nets& nets) {
  for (const NamedNet& net : nets) {
    for (const auto& module : net.module->modules()) {
      if (module->is_training()) were_training_.push_back(module);
    }
    net.module->eval();
  }
}

EvalMode::~EvalMode() {
  // train() would set the children too, which may have had another mode: the flag is set on each module alone.
  for (const auto& module : were_training_) {
    std::vector<std::pair<torch::nn::Module*, bool>> children;
    for (const auto& child : module->modules(/*include_self=*/false)) children.emplace_back(child.get(), child->is_training());
    module->train(true);
    for (const auto& [child, training] : children) {
      if (!training) child->eval();
    }
  }
}

void NetsState::state(State& state) {
  for (auto& [name, tensor] : tensors_) state.tensor(name, tensor);
}

}  // namespace athanor
