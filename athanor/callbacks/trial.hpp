// SPDX-License-Identifier: Apache-2.0
// A few steps that leave no trace.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "athanor/core/tree.hpp"
#include "athanor/train/task.hpp"

namespace athanor {

/// Remembers a task when it is made and puts it back, bit for bit, when it is destroyed: parameters, buffers,
/// gradients, modes and `requires_grad` of its nets, its own state, and LibTorch's default generator of the CPU. Takes
/// one copy of the nets. What a trainer does to the task in between is as if it had not been; the trainer itself is not
/// put back.
class Trial {
 public:
  explicit Trial(Task& task);
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  /// Puts everything back now; the trial can go on from there.
  void rewind();

 private:
  struct Mode {
    std::shared_ptr<torch::nn::Module> module;
    bool training;
  };
  struct Gradient {
    at::Tensor parameter, gradient;
    bool required;
  };

  Task& task_;
  Tree nets_, own_;
  std::vector<Mode> modes_;
  std::vector<Gradient> gradients_;
  at::Tensor generator_;
};

}  // namespace athanor
