// SPDX-License-Identifier: Apache-2.0
// Finds the first NaN or infinity of a training step, and names the layer that it came out of.
//
//     LayerWatch watch(named_tensors(task.nets()));
//     trainer.update(task, batch);
//     if (watch.finding()) std::cout << watch.describe();
//     // aten::div (in SqrtBackward0) gave 1 non-finite number of 12 in backward, after layer 'encoder.0': float32 (3,
//     4)
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace athanor {

/// While it lives, every operator of the thread that made it is looked at, and those of its backward passes wherever
/// they run: the outputs are searched for NaN and infinities, and the first finding is kept. Results are not changed.
/// It is slow: each input and output is read, and on a GPU the host waits each time. Use it to hunt a fault, not to
/// train.
///
/// A layer is the path of a module. An operator belongs to the layer whose parameter or buffer it reads, also through a
/// view or a copy that was cast by autocast; one that reads none (relu, softmax, log) comes "after" the last layer
/// before it. In backward it is the layer of the operator that the gradient belongs to.
///
/// What counts is what leaves an operator of the program: intermediate numbers that it masks again are not told. In
/// backward a finding is complete when its gradient reaches the next node or a parameter; a gradient that
/// `torch::autograd::grad` hands out of the last node is not seen. Left out are uninitialised memory (`torch::empty`),
/// infinities that the program asks for (`torch::full`, `masked_fill` with an infinite number) and -inf that comes only
/// from -inf in an input, as with the mask of an attention.
///
/// One can live in a process at a time; it is made and destroyed on the same thread. `finding` and `describe` may be
/// called from any thread.
class LayerWatch {
 public:
  enum class Stage {
    before,  ///< A parameter or buffer was not finite when the watch began.
    forward,
    backward,
  };
  struct Finding {
    Stage stage = Stage::forward;
    /// `aten::log`; empty when a parameter itself is not finite, or a gradient came in that no operator made.
    std::string op = {};
    /// The operator that the program called, or the node of backward that `op` is a part of; empty when it is `op`.
    std::string within = {};
    /// Path of the module; empty for parameters of the net itself, and when no layer was seen before the operator.
    std::string layer = {};
    /// The name of the parameter or buffer that the operator reads; empty when the operator comes after `layer`.
    std::string parameter = {};
    std::string tensor = {};  ///< Dtype and shape: `float32 (32, 10)`.
    std::vector<int64_t> shape = {};
    int64_t non_finite = 0;     ///< How many of the numbers are NaN or infinite.
    int64_t numbers = 0;        ///< How many there are.
    bool inputs_finite = true;  ///< Whether all that went into `op` was finite.
  };

  /// Parameters and buffers by path, as `named_tensors` gives them. They are kept alive. A value among them that is not
  /// finite is the finding. Throws Error when another watch lives.
  explicit LayerWatch(std::vector<std::pair<std::string, at::Tensor>> named_parameters);
  ~LayerWatch();
  LayerWatch(const LayerWatch&) = delete;
  LayerWatch& operator=(const LayerWatch&) = delete;

  /// The first finding, if there is any.
  [[nodiscard]] std::optional<Finding> finding() const;
  /// One line for a message; that everything was finite when there is no finding.
  [[nodiscard]] std::string describe() const;

  struct Implementation;

 private:
  std::unique_ptr<Implementation> implementation_;
  uint64_t handle_ = 0;
};

}  // namespace athanor
