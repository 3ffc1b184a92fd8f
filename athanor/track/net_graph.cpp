// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/net_graph.hpp"

#include <algorithm>

#include "athanor/core/join_numbers.hpp"
#include "athanor/train/layer_tree.hpp"

namespace athanor::track {
namespace {

/// The net that a node belongs to, where there are several.
std::string net_of(const LayerTree& tree, size_t node, bool several) {
  if (!several) return {};
  while (tree[node].parent && *tree[node].parent != 0) node = *tree[node].parent;
  return tree[node].path;
}

}  // namespace

events::Graph graph_of(const Nets& nets) {
  const LayerTree tree(nets);
  const bool several = tree.size() > 0 && tree[0].module == nullptr;
  events::Graph graph;
  graph.nodes.push_back({.name = "input", .operation = "Placeholder"});
  std::string net;
  std::string before = "input";
  for (size_t i = 0; i < tree.size(); ++i) {
    const LayerNode& layer = tree[i];
    if (layer.module == nullptr || (layer.order != LayerNode::Order::leaf && !layer.holds_tensors())) continue;
    if (const std::string here = net_of(tree, i, several); here != net) {
      net = here;
      before = "input";
    }
    events::Graph::Node node{.name = layer.name(), .operation = layer.type, .inputs = {before}};
    std::replace(node.name.begin(), node.name.end(), '.', '/');
    // A module with tensors of its own beside its children stands beside them.
    if (layer.order != LayerNode::Order::leaf) node.name += "/parameters";
    for (const auto& [name, tensor] : layer.parameters) {
      node.attributes.emplace_back(name, "(" + join_numbers(tensor.sizes()) + ")");
    }
    before = node.name;
    graph.nodes.push_back(std::move(node));
  }
  return graph;
}

}  // namespace athanor::track
