// SPDX-License-Identifier: Apache-2.0
// What leaves one layer of a net in a forward pass, and the gradient of a number with respect to it.
//
//     LayerCapture capture(task.nets(), "features.7");
//     at::Tensor scores = capture.run([&] { return net->forward(images); });
//     at::Tensor gradient = capture.gradient(scores.select(1, 3).sum());      // of capture.values()
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "athanor/core/owned.hpp"
#include "athanor/train/nets.hpp"

namespace athanor {

/// LibTorch's modules have no hooks: the layer is found among the operators of the forward pass, as LayerTree and
/// LayerTrace describe. What counts is the result of the last operator of the layer in its last call; of a module with
/// children that of the last operator that surely runs inside of it. Not thread-safe.
class LayerCapture {
 public:
  /// `layer` is a path of a module, as `features.7`; with several nets `NET.path`. Throws Error that names the layers
  /// that there are.
  LayerCapture(const Nets& nets, std::string layer);
  ~LayerCapture();
  LayerCapture(const LayerCapture&) = delete;
  LayerCapture& operator=(const LayerCapture&) = delete;

  /// Runs `forward`, the first time twice: once to find the operator, once to keep its result. Both run in the mode for
  /// gradients that is set. Returns what `forward` returned. Throws Error when the pass does not run the layer, or runs
  /// other operators the second time.
  at::Tensor run(const std::function<at::Tensor()>& forward);

  /// A copy of what left the layer in the last run, before anything behind it wrote into it; detached.
  [[nodiscard]] const at::Tensor& values() const noexcept { return values_; }
  /// Of `number`, a scalar that the last run computed, with respect to `values()`. Gradients of parameters are left
  /// alone; the graph is kept. Throws Error when the number does not depend on the layer, or no graph was recorded.
  [[nodiscard]] at::Tensor gradient(const at::Tensor& number) const;

  /// False when the layer is one of several of its kind without parameters that only their order tells apart.
  [[nodiscard]] bool sure() const noexcept { return sure_; }
  [[nodiscard]] const std::string& layer() const noexcept { return layer_; }

 private:
  struct Implementation;
  Owned<Implementation> implementation_;
  std::string layer_;
  at::Tensor values_;
  bool sure_ = true;
};

/// The paths that LayerCapture knows.
[[nodiscard]] std::vector<std::string> layer_names(const Nets& nets);
/// Throws Error with those paths when `layer` is none of them. `where`: who asks, for the message.
void require_layer(const Nets& nets, const std::string& layer, const std::string& where);

}  // namespace athanor
