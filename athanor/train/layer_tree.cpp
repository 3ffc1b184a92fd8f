// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/layer_tree.hpp"

#include <torch/torch.h>

#include <algorithm>

namespace athanor {
namespace {

/// `torch::nn::LinearImpl` and `app::(anonymous namespace)::Block<app::Small>` without what stands before the class.
std::string class_of_module(std::string_view full) {
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i + 1 < full.size(); ++i) {
    if (full[i] == '<' || full[i] == '(') ++depth;
    if (full[i] == '>' || full[i] == ')') --depth;
    if (depth == 0 && full[i] == ':' && full[i + 1] == ':') begin = i + 2;
  }
  std::string name(full.substr(begin));
  if (name.ends_with("Impl") && name.size() > 4) name.resize(name.size() - 4);
  return name;
}

LayerNode::Order order_in_module(const torch::nn::Module& module, bool has_children) {
  if (dynamic_cast<const torch::nn::SequentialImpl*>(&module) != nullptr) return LayerNode::Order::sequence;
  if (dynamic_cast<const torch::nn::ModuleListImpl*>(&module) != nullptr) return LayerNode::Order::list;
  if (dynamic_cast<const torch::nn::ModuleDictImpl*>(&module) != nullptr) return LayerNode::Order::list;
  return has_children ? LayerNode::Order::own : LayerNode::Order::leaf;
}

}  // namespace

LayerTree::LayerTree(const Nets& nets) {
  if (nets.size() == 1) {
    add(nets.front().module, "", std::nullopt);
  } else {
    nodes_.push_back({.path = "", .type = "nets"});
    for (const NamedNet& net : nets) add(net.module, net.name, 0);
    nodes_.front().end = nodes_.size();
  }
  bare_.assign(nodes_.size(), true);
  for (size_t i = nodes_.size(); i-- > 0;) {
    if (nodes_[i].holds_tensors()) bare_[i] = false;
    if (!bare_[i] && nodes_[i].parent) bare_[*nodes_[i].parent] = false;
  }
}

void LayerTree::add(const std::shared_ptr<torch::nn::Module>& module, std::string path, std::optional<size_t> parent) {
  const size_t number = nodes_.size();
  kept_.push_back(module);
  const auto children = module->named_children();
  const std::string& full = module->name();
  LayerNode node{.path = path,
                 .type = class_of_module(full),
                 .of_torch = full.starts_with("torch::nn::"),
                 .module = module.get(),
                 .order = order_in_module(*module, !children.is_empty()),
                 .ends_with_last_child = typeid(*module) == typeid(torch::nn::SequentialImpl),
                 .parent = parent};
  for (const auto& item : module->named_parameters(/*recurse=*/false)) {
    node.parameters.emplace_back(item.key(), item.value());
    held_.push_back({item.value(), number});
  }
  for (const auto& item : module->named_buffers(/*recurse=*/false)) {
    if (!item.value().defined()) continue;
    node.buffers.emplace_back(item.key(), item.value());
    held_.push_back({item.value(), number});
  }
  nodes_.push_back(std::move(node));
  if (parent) nodes_[*parent].children.push_back(number);
  for (const auto& item : children) {
    add(item.value(), path.empty() ? item.key() : path + "." + item.key(), number);
  }
  nodes_[number].end = nodes_.size();
}

size_t LayerTree::common(size_t one, size_t other) const noexcept {
  while (!inside(other, one)) one = *nodes_[one].parent;
  return one;
}

}  // namespace athanor
