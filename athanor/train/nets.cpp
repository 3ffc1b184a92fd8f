// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/nets.hpp"

#include <torch/torch.h>

#include <unordered_set>

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
  std::unordered_set<const c10::TensorImpl*> counted;  // a layer that two modules share is registered twice
  for (const NamedNet& net : nets) {
    for (const torch::Tensor& parameter : net.module->parameters()) {
      if (!counted.insert(parameter.unsafeGetTensorImpl()).second) continue;
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

namespace {

using Module = std::shared_ptr<torch::nn::Module>;

// Not modules(), which refuses a module that is an object of the caller's and not in a shared_ptr of its own.
void collect(const Module& module, std::vector<Module>& all) {
  all.push_back(module);
  for (const Module& child : module->children()) collect(child, all);
}

}  // namespace

EvalMode::EvalMode(const Nets& nets) {
  std::vector<Module> all;
  for (const NamedNet& net : nets) collect(net.module, all);
  for (const Module& module : all) {
    if (module->is_training()) were_training_.push_back(module);
  }
  for (const NamedNet& net : nets) net.module->eval();
}

EvalMode::~EvalMode() {
  // train() would set the children too, which may have had another mode: the flag is set on each module alone.
  for (const Module& module : were_training_) {
    std::vector<Module> below;
    for (const Module& child : module->children()) collect(child, below);
    std::erase_if(below, [](const Module& child) { return child->is_training(); });
    module->train(true);
    for (const Module& child : below) child->eval();
  }
}

void NetsState::state(State& state) {
  for (auto& [name, tensor] : tensors_) state.tensor(name, tensor);
}

}  // namespace athanor
