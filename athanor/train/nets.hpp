// SPDX-License-Identifier: Apache-2.0
// The modules of a task, seen as named tensors: state, device, modes, weights files.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/named_tensors.hpp"
#include "athanor/core/state.hpp"

namespace torch::nn {
class Module;
}

namespace athanor {

struct NamedNet {
  std::string name;
  std::shared_ptr<torch::nn::Module> module;
};
using Nets = std::vector<NamedNet>;

/// Parameters and buffers of all nets, as `NET.path.of.module.weight`; without `NET.` when there is only one net. These
/// are the names in a weights file, and the names that Python gives to the same modules.
[[nodiscard]] NamedTensors named_tensors(const Nets& nets);
/// Trainable numbers; a parameter that several modules share is counted once.
[[nodiscard]] int64_t count_parameters(const Nets& nets);
/// The first device that a parameter lies on; the CPU when there is none.
[[nodiscard]] at::Device device_of(const Nets& nets);
void move_to(const Nets& nets, at::Device device);
/// Puts each net that is in eval mode as a whole in train mode. In a net that is in train mode, modules keep the mode
/// that each was given: a frozen BatchNorm stays frozen.
void begin_training(const Nets& nets);

/// Puts every module in eval mode and, at the end of its life, each back into the mode that it had: a module that was
/// frozen in eval mode stays so.
class EvalMode {
 public:
  explicit EvalMode(const Nets& nets);
  ~EvalMode();
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  std::vector<std::shared_ptr<torch::nn::Module>> were_training_;
};

/// The state of nets: parameters and buffers by name.
class NetsState {
 public:
  explicit NetsState(const Nets& nets) : tensors_(named_tensors(nets)) {}
  void state(State& state);

 private:
  NamedTensors tensors_;
};

}  // namespace athanor
