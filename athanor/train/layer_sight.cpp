// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/layer_sight.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "athanor/core/join_numbers.hpp"
#include "athanor/train/layer_match.hpp"
#include "athanor/train/layer_operators.hpp"

namespace athanor {
namespace {

constexpr size_t most_nodes_of_a_layer = 16;

std::string shape_seen(at::IntArrayRef shape) { return "(" + join_numbers(shape) + ")"; }

std::vector<at::Tensor> tensors_held_by(const LayerTree& tree) {
  std::vector<at::Tensor> tensors;
  for (const LayerTree::Held& each : tree.held()) tensors.push_back(each.tensor);
  return tensors;
}

size_t layers_run(const LayerMatch& match) {
  std::set<size_t> layers;
  for (const LayerCall& call : match.calls) layers.insert(call.layer);
  return layers.size();
}

/// Hands on what it gets, to the eye.
bool changes_nothing(std::string_view op) {
  static constexpr std::string_view names[] = {"contiguous", "to",         "_to_copy", "alias",
                                               "detach",     "lift_fresh", "clone"};
  return is_among(op, names);
}

/// Builds the graph of one pass.
class GraphOfPass {
 public:
  GraphOfPass(const LayerTree& tree, const std::vector<TracedOperator>& operators, const LayerMatch& match)
      : tree_(tree), operators_(operators), match_(match), calls_(tree.size()) {
    for (const LayerTree::Held& each : tree.held()) silent_.insert(each.tensor.unsafeGetTensorImpl());
    for (const LayerCall& call : match.calls) calls_[call.layer].push_back(call.op);
  }

  events::Graph run() {
    add("input", "Placeholder", /*is_layer=*/true);
    size_t last = 0;
    for (size_t op = 0; op < operators_.size(); ++op) {
      if (match_.layers[op]) last = op;
    }
    for (size_t op = 0; op < operators_.size(); ++op) {
      if (op > last && match_.within[op] == 0) break;
      take(op);
    }
    return without_dead_ends();
  }

 private:
  struct Node {
    events::Graph::Node shown;
    std::set<size_t> inputs;
    bool is_layer = false;
  };

  size_t add(std::string name, std::string operation, bool is_layer) {
    const std::string wanted = name;
    for (int number = 1; !names_.insert(name).second; ++number) name = wanted + "_" + std::to_string(number);
    nodes_.push_back({.shown = {.name = name, .operation = std::move(operation)}, .inputs = {}, .is_layer = is_layer});
    return nodes_.size() - 1;
  }

  [[nodiscard]] std::string place_of(size_t layer) const {
    std::string name = tree_[layer].path;
    std::replace(name.begin(), name.end(), '.', '/');
    return name;
  }

  /// A module with tensors of its own beside its children stands beside them.
  size_t node_of_layer(size_t layer, size_t op) {
    const auto& ends = calls_[layer];
    size_t call = static_cast<size_t>(std::lower_bound(ends.begin(), ends.end(), op) - ends.begin());
    if (call == ends.size() && call > 0) call -= 1;
    if (ends.size() > most_nodes_of_a_layer) call = 0;
    const auto [found, is_new] = layers_.try_emplace({layer, call}, 0);
    if (!is_new) return found->second;
    const LayerNode& module = tree_[layer];
    std::string name = module.path.empty() ? module.type : place_of(layer);
    if (module.order != LayerNode::Order::leaf) name += "/parameters";
    found->second = add(std::move(name), module.type, /*is_layer=*/true);
    for (const auto& [parameter, tensor] : module.parameters) {
      nodes_[found->second].shown.attributes.emplace_back(parameter, shape_seen(tensor.sizes()));
    }
    return found->second;
  }

  void take(size_t number) {
    const TracedOperator& op = operators_[number];
    if (!op.finished) return;
    if (op.only_places) {
      for (const auto& output : op.outputs) silent_.insert(output.tensor._unsafe_get_target());
      return;
    }
    std::set<size_t> inputs;
    for (const c10::TensorImpl* input : op.inputs) {
      if (const auto made = makers_.find(input); made != makers_.end()) {
        inputs.insert(made->second);
      } else if (!silent_.contains(input)) {
        inputs.insert(0);
      }
    }
    size_t node = 0;
    if (match_.layers[number]) {
      node = node_of_layer(*match_.layers[number], number);
    } else if (inputs.size() == 1 && changes_nothing(op.name)) {
      node = *inputs.begin();
    } else {
      const std::string place = place_of(match_.within[number]);
      const std::string name(without_underscore(op.name));
      node = add(place.empty() ? name : place + "/" + name, name, /*is_layer=*/false);
    }
    inputs.erase(node);
    nodes_[node].inputs.insert(inputs.begin(), inputs.end());
    if (op.outputs.empty()) return;
    if (node > 0) nodes_[node].shown.shapes = {op.outputs.front().shape};
    for (const auto& output : op.outputs) makers_[output.tensor._unsafe_get_target()] = node;
  }

  /// Nodes are made after those that they read from.
  events::Graph without_dead_ends() {
    std::vector<bool> wanted(nodes_.size(), false);
    for (size_t i = nodes_.size(); i-- > 0;) {
      wanted[i] = wanted[i] || nodes_[i].is_layer;
      if (!wanted[i]) continue;
      for (const size_t input : nodes_[i].inputs) wanted[input] = true;
    }
    events::Graph graph;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!wanted[i]) continue;
      for (const size_t input : nodes_[i].inputs) nodes_[i].shown.inputs.push_back(nodes_[input].shown.name);
      graph.nodes.push_back(nodes_[i].shown);
    }
    return graph;
  }

  const LayerTree& tree_;
  const std::vector<TracedOperator>& operators_;
  const LayerMatch& match_;
  std::vector<std::vector<size_t>> calls_;  // of each layer, the operators that end them
  std::vector<Node> nodes_;
  std::set<std::string> names_;
  std::map<std::pair<size_t, size_t>, size_t> layers_;
  std::unordered_map<const c10::TensorImpl*, size_t> makers_;
  std::unordered_set<const c10::TensorImpl*> silent_;  // parameters, buffers and what is made of them alone
};

}  // namespace

struct LayerSight::Implementation {
  explicit Implementation(const Nets& nets) : tree(nets), places(tensors_held_by(tree)) {}

  LayerTree tree;
  ParameterPlaces places;
  std::unique_ptr<LayerTrace> trace;  // of the running step
  std::unique_ptr<LayerTrace> kept;   // its weak references keep the addresses of tensors from being used again
  LayerMatch match;

  /// The shape that leaves each layer, where that is known.
  [[nodiscard]] std::vector<std::string> outputs() const {
    std::vector<std::string> texts(tree.size());
    if (kept == nullptr) return texts;
    for (const LayerCall& call : match.calls) {
      const auto& outputs = kept->operators()[call.op].outputs;
      const bool is_known = tree[call.layer].children.empty() || operators_of(tree[call.layer]) != nullptr;
      if (!is_known || outputs.empty() || !texts[call.layer].empty()) continue;
      texts[call.layer] = (call.shape_is_sure ? "" : "perhaps ") + shape_seen(outputs.front().shape);
    }
    for (size_t i = tree.size(); i-- > 0;) {
      const LayerNode& node = tree[i];
      if (node.children.empty() || !texts[i].empty()) continue;
      if (node.order == LayerNode::Order::sequence && node.ends_with_last_child) texts[i] = texts[node.children.back()];
      const std::string_view last = child_with_output(node);
      for (const size_t child : node.children) {
        if (!last.empty() && tree[child].path.ends_with(last)) texts[i] = texts[child];
      }
    }
    return texts;
  }
};

LayerSight::LayerSight(const Nets& nets) : implementation_(std::make_unique<Implementation>(nets)) {}
LayerSight::~LayerSight() = default;

LayerSight::Watch::Watch(LayerSight& sight) : sight_(sight) {
  sight_.implementation_->trace = std::make_unique<LayerTrace>(sight_.implementation_->places);
}

LayerSight::Watch::~Watch() {
  Implementation& own = *sight_.implementation_;
  own.trace->stop();
  std::unique_ptr<LayerTrace> trace = std::move(own.trace);
  try {
    LayerMatch match = match_layers(own.tree, trace->operators());
    if (layers_run(match) <= layers_run(own.match)) return;
    own.match = std::move(match);
  } catch (...) {  // what is only looked at ends no run
    return;
  }
  own.kept = std::move(trace);
}

bool LayerSight::has_seen() const noexcept { return implementation_->kept != nullptr; }

std::string LayerSight::markdown() const {
  const LayerTree& tree = implementation_->tree;
  const std::vector<std::string> outputs = implementation_->outputs();
  std::set<const c10::TensorImpl*> counted;
  std::string text = "| layer | type | output | parameters |\n| --- | --- | --- | ---: |\n";
  int64_t all = 0, trained = 0;
  for (size_t i = 0; i < tree.size(); ++i) {
    int64_t parameters = 0;
    for (const auto& [name, tensor] : tree[i].parameters) {
      if (!counted.insert(tensor.unsafeGetTensorImpl()).second) continue;
      parameters += tensor.numel();
      if (tensor.requires_grad()) trained += tensor.numel();
    }
    all += parameters;
    const std::string name = tree[i].path.empty() ? "(net)" : tree[i].path;
    text += "| " + name + " | " + tree[i].type + " | " + outputs[i] + " | " +
            (parameters > 0 ? std::to_string(parameters) : "") + " |\n";
  }
  const std::string frozen = all > trained ? ", " + std::to_string(all - trained) + " of them frozen" : "";
  return text + "| all" + frozen + " | | | " + std::to_string(all) + " |\n";
}

events::Graph LayerSight::graph() const {
  if (!has_seen()) return {};
  return GraphOfPass(implementation_->tree, implementation_->kept->operators(), implementation_->match).run();
}

}  // namespace athanor
