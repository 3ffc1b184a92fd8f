// SPDX-License-Identifier: Apache-2.0
// Activation checkpointing: less memory in training, for one more forward pass.
//
//     torch::nn::Sequential blocks = ...;
//     athanor::Model model(athanor::checkpointed(blocks, {.segments = 4}), {...});
//
// Chen, Xu, Zhang, Guestrin: "Training deep nets with sublinear memory cost", 2016.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace torch::nn {
class Module;
class SequentialImpl;
}  // namespace torch::nn

namespace athanor {

struct CheckpointedOptions {
  /// Into how many runs of neighbouring layers, with nearly the same number of layers, the part is divided. With n
  /// equal layers memory is least near sqrt(n): the inputs of all segments are kept, and the activations of one at a
  /// time. 1: the part as a whole, as for one block of several in a larger net.
  int64_t segments = 2;
};

namespace detail {
struct CheckpointedLayer {
  std::shared_ptr<torch::nn::Module> module;
  std::function<at::Tensor(const at::Tensor&)> forward;
};
using CheckpointedSegment = std::vector<CheckpointedLayer>;
using CheckpointedSegments = std::vector<std::shared_ptr<const CheckpointedSegment>>;

CheckpointedSegments divide(CheckpointedSegment layers, const CheckpointedOptions& options);
at::Tensor forward_checkpointed(const CheckpointedSegments& segments, at::Tensor input, bool training);
}  // namespace detail

/// A Sequential that keeps only the inputs of its segments in forward, and runs each segment again in backward. Loss,
/// gradients, buffers and the random numbers of whatever comes later are the same to the last bit as without it:
///
/// - The second run draws the same random numbers (dropout), and the generators are put back after it.
/// - Buffers (running statistics of BatchNorm) have in the second run the values that they had before the first, and
///   get their present values back after it: they are updated once. For that, they are copied in each forward.
/// - Autocast is in the second run as it was in the first. Its cache of cast weights is not used inside; so a weight
///   that is used several times under autocast has its gradients summed in float32, not in the lower precision.
///
/// In eval mode and without gradients the layers run straight through. Parameters and buffers have the names that they
/// have in the Sequential, so weights files fit both.
///
/// Each layer takes one tensor and gives one. The gradient reaches the input and the parameters of the layers, not
/// other tensors that a layer has hold of. The mode of the layers must be the same in forward and backward.
///
/// Throws Error when a gradient is asked for that can be differentiated again (create_graph), when a layer writes
/// into the input of its segment (ReLU with inplace as first layer of a segment), and, when made, for an empty part and
/// for segments outside of 1 … number of layers. Not thread-safe, as its layers are not.
///
/// A template only so that this header need not include LibTorch's modules: it is always Checkpointed<>.
template <class Sequential = torch::nn::SequentialImpl>
class Checkpointed : public Sequential {
 public:
  explicit Checkpointed(const Sequential& part, CheckpointedOptions options = {}) : options_(options) {
    add(part, [](const auto& layer) { return layer; });
    divide();
  }

  /// (N, …) of the dtype and device that the first layer takes; what the last layer gives.
  at::Tensor forward(const at::Tensor& input) {
    if (divided_ != this->size()) divide();
    return detail::forward_checkpointed(segments_, input, this->is_training());
  }

  std::shared_ptr<torch::nn::Module> clone(const std::optional<at::Device>& device = std::nullopt) const override {
    std::shared_ptr<Checkpointed> copy(new Checkpointed(options_));
    copy->add(*this, [&](const auto& layer) { return layer.clone(device); });
    return copy;
  }

  [[nodiscard]] const CheckpointedOptions& options() const noexcept { return options_; }

 private:
  explicit Checkpointed(const CheckpointedOptions& options) : options_(options) {}

  template <class F>
  void add(const Sequential& part, const F& shared_or_cloned) {
    if (!part.is_training()) this->eval();  // before there are layers, which keep their own modes
    const auto children = part.named_children();
    for (size_t i = 0; i < part.size(); ++i) {
      this->push_back(children[i].key(), shared_or_cloned(*(part.begin() + static_cast<ptrdiff_t>(i))));
    }
  }

  void divide() {
    detail::CheckpointedSegment layers;
    for (auto& layer : *this) {
      layers.push_back({layer.ptr(), [any = layer](const at::Tensor& input) mutable {
                          return any.template forward<at::Tensor>(at::Tensor(input));
                        }});
    }
    divided_ = this->size();
    segments_ = detail::divide(std::move(layers), options_);
  }

  CheckpointedOptions options_;
  detail::CheckpointedSegments segments_;
  size_t divided_ = 0;
};

/// The layers of `part`, which it shares, in a module that checkpoints. Takes a `torch::nn::Sequential`.
template <class Holder>
[[nodiscard]] auto checkpointed(const Holder& part, CheckpointedOptions options = {}) {
  using Sequential = typename Holder::ContainedType;
  static_assert(std::is_same_v<Sequential, torch::nn::SequentialImpl>,
                "athanor: checkpointed() takes a torch::nn::Sequential");
  return std::make_shared<Checkpointed<Sequential>>(*part, options);
}

}  // namespace athanor
