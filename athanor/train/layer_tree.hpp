// SPDX-License-Identifier: Apache-2.0
// The modules of nets as a flat list, each with its path, type, parent and what it holds itself.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "athanor/train/nets.hpp"

namespace athanor {

/// One module in one place. A module that is registered in two places is two of these.
struct LayerNode {
  /// What is known about the order in which a module runs its children.
  enum class Order {
    leaf,      ///< It has none.
    sequence,  ///< One after the other: a Sequential, or a class derived from it.
    own,       ///< Whatever its forward() does.
    list,      ///< A ModuleList or ModuleDict: no forward(), its children belong to the module above.
  };
  std::string path;  ///< `encoder.0`; empty for the net itself when there is only one.
  std::string type;  ///< `Linear`: the class without namespaces and without LibTorch's `Impl`.
  bool of_torch = false;
  const torch::nn::Module* module = nullptr;  ///< Null for what stands above several nets.
  Order order = Order::own;
  bool ends_with_last_child = false;  ///< A Sequential itself: a derived class may do more in its forward().
  std::optional<size_t> parent = {};
  std::vector<size_t> children = {};
  size_t end = 0;                ///< One past the last node below it.
  NamedTensors parameters = {};  ///< Held by the module itself, by name in it.
  NamedTensors buffers = {};

  [[nodiscard]] bool holds_tensors() const noexcept { return !parameters.empty() || !buffers.empty(); }
  /// The path, or the type where that is empty.
  [[nodiscard]] const std::string& name() const noexcept { return path.empty() ? type : path; }
};

/// All nodes, parents before their children, children in the order in which they were registered. It looks at the nets
/// once and keeps their modules and tensors alive.
class LayerTree {
 public:
  explicit LayerTree(const Nets& nets);

  [[nodiscard]] const std::vector<LayerNode>& nodes() const noexcept { return nodes_; }
  [[nodiscard]] const LayerNode& operator[](size_t node) const noexcept { return nodes_[node]; }
  [[nodiscard]] size_t size() const noexcept { return nodes_.size(); }
  /// Whether `node` is `above` or one of those below it.
  [[nodiscard]] bool inside(size_t node, size_t above) const noexcept {
    return node >= above && node < nodes_[above].end;
  }
  /// Whether neither the node nor any below it holds a tensor.
  [[nodiscard]] bool is_bare(size_t node) const noexcept { return bare_[node]; }
  /// The lowest node that has both below it or is one of them.
  [[nodiscard]] size_t common(size_t one, size_t other) const noexcept;

  /// All tensors that the nodes hold, each with its node, in the order of the nodes.
  struct Held {
    at::Tensor tensor;
    size_t node;
  };
  [[nodiscard]] const std::vector<Held>& held() const noexcept { return held_; }

 private:
  void add(const std::shared_ptr<torch::nn::Module>& module, std::string path, std::optional<size_t> parent);

  std::vector<LayerNode> nodes_;
  std::vector<bool> bare_;
  std::vector<Held> held_;
  std::vector<std::shared_ptr<torch::nn::Module>> kept_;
};

}  // namespace athanor
