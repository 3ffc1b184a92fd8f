// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/layer_match.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "athanor/train/layer_operators.hpp"

namespace athanor {
namespace {

/// The place of a gap between two operators that read parameters: a layer that must run there, or a module whose
/// forward() may run layers of its own there.
struct GapSlot {
  size_t node;
  bool must_run;
};

class LayerMatcher {
 public:
  LayerMatcher(const LayerTree& tree, const std::vector<TracedOperator>& operators)
      : tree_(tree), operators_(operators) {
    match_.layers.resize(operators.size());
    match_.within.assign(operators.size(), 0);
    counts_.assign(tree.size(), 0);
  }

  LayerMatch run() {
    find_readers();
    find_calls_of_readers();
    fill_gaps();
    doubt_shapes();
    std::stable_sort(match_.calls.begin(), match_.calls.end(),
                     [](const LayerCall& a, const LayerCall& b) { return a.op < b.op; });
    return std::move(match_);
  }

 private:
  [[nodiscard]] bool fits(size_t op, size_t node) const {
    const LayerOperators* kind = operators_of(tree_[node]);
    return kind != nullptr && is_among(operators_[op].name, kind->main);
  }

  // ---- operators that read parameters

  /// A tensor that several nodes hold is a layer that they share: the operator says which of them it is.
  void find_readers() {
    const auto owners = owners_of_places();
    std::vector<size_t> undecided;
    for (size_t op = 0; op < operators_.size(); ++op) {
      std::vector<size_t> candidates;
      for (const size_t place : operators_[op].places) {
        for (const size_t node : owners[place]) {
          if (std::find(candidates.begin(), candidates.end(), node) == candidates.end()) candidates.push_back(node);
        }
      }
      if (candidates.empty()) continue;
      if (candidates.size() > 1) {
        std::vector<size_t> of_kind;
        for (const size_t node : candidates) {
          if (fits(op, node)) of_kind.push_back(node);
        }
        if (of_kind.empty() && operators_[op].only_places) {  // the transpose of a weight: what reads it will say
          undecided.push_back(op);
          continue;
        }
        if (!of_kind.empty()) candidates = of_kind;
      }
      const size_t chosen = *std::min_element(candidates.begin(), candidates.end(),
                                              [&](size_t a, size_t b) { return counts_[a] < counts_[b]; });
      match_.layers[op] = chosen;
      if (candidates.size() > 1) ++counts_[chosen];
      for (const size_t earlier : undecided) match_.layers[earlier] = chosen;
      undecided.clear();
    }
    std::fill(counts_.begin(), counts_.end(), 0);
  }

  /// Nodes that hold each tensor, or another one in the same memory.
  [[nodiscard]] std::vector<std::vector<size_t>> owners_of_places() const {
    const auto& held = tree_.held();
    std::vector<std::vector<size_t>> owners(held.size());
    std::map<std::pair<uintptr_t, uintptr_t>, std::vector<size_t>> by_memory;
    for (const auto& each : held) {
      const auto memory = memory_of(each.tensor);
      if (memory.first != 0) by_memory[memory].push_back(each.node);
    }
    for (size_t i = 0; i < held.size(); ++i) {
      const auto memory = memory_of(held[i].tensor);
      owners[i] = memory.first != 0 ? by_memory[memory] : std::vector<size_t>{held[i].node};
    }
    return owners;
  }

  void find_calls_of_readers() {
    LayerCall* open = nullptr;  // the running call
    for (size_t op = 0; op < operators_.size(); ++op) {
      if (!match_.layers[op]) continue;
      const size_t layer = *match_.layers[op];
      const LayerOperators* kind = operators_of(tree_[layer]);
      if (open != nullptr && open->layer != layer) open = nullptr;
      if (kind == nullptr) {
        if (operators_[op].only_places) continue;
        if (open == nullptr) open = &begin_call(layer, op, MatchedBy::parameters);
        open->op = op;
      } else if (fits(op, layer)) {
        open = &begin_call(layer, op, MatchedBy::parameters);
      } else if (open != nullptr && open->op + 1 == op && is_among(operators_[op].name, kind->then)) {
        open->op = op;
      }
    }
  }

  LayerCall& begin_call(size_t layer, size_t op, MatchedBy by) {
    ++counts_[layer];
    return match_.calls.emplace_back(LayerCall{.layer = layer, .op = op, .by = by});
  }

  // ---- what lies between

  void fill_gaps() {
    std::optional<size_t> before;
    std::vector<size_t> gap;
    for (size_t op = 0; op <= operators_.size(); ++op) {
      const bool is_end = op == operators_.size();
      if (!is_end && !match_.layers[op]) {
        gap.push_back(op);
        continue;
      }
      const std::optional<size_t> after = is_end ? std::nullopt : match_.layers[op];
      fill(gap, before, after);
      gap.clear();
      if (after) {
        match_.within[op] = *after;
        before = after;
      }
    }
  }

  void fill(const std::vector<size_t>& gap, std::optional<size_t> before, std::optional<size_t> after) {
    if (gap.empty()) return;
    const size_t around = before && after ? common_module(*before, *after) : 0;
    for (const size_t op : gap) match_.within[op] = around;
    const std::vector<GapSlot> slots = slots_of(before, after, around);
    std::vector<size_t> modules;  // that may have run what comes next
    auto next = gap.begin();
    for (const GapSlot& slot : slots) {
      if (!slot.must_run) {
        if (std::find(modules.begin(), modules.end(), slot.node) == modules.end()) modules.push_back(slot.node);
        continue;
      }
      const auto found = std::find_if(next, gap.end(), [&](size_t op) { return fits(op, slot.node); });
      if (found == gap.end()) continue;
      give({next, found}, modules);
      modules.clear();
      take(slot.node, *found, MatchedBy::sequence);
      next = found + 1;
    }
    give({next, gap.end()}, modules);
    for (const size_t op : gap) {
      if (!match_.layers[op]) doubt_sequence(gap, op);
    }
  }

  [[nodiscard]] size_t common_module(size_t one, size_t other) const {
    size_t node = tree_.common(one, other);
    while (is_leaf(node) && tree_[node].parent) node = *tree_[node].parent;
    return node;
  }
  [[nodiscard]] bool is_leaf(size_t node) const { return tree_[node].order == LayerNode::Order::leaf; }

  void take(size_t node, size_t op, MatchedBy by) {
    match_.layers[op] = match_.within[op] = node;
    begin_call(node, op, by);
  }

  /// What must run, and which modules may run something, from the end of `before` to the begin of `after`.
  [[nodiscard]] std::vector<GapSlot> slots_of(std::optional<size_t> before, std::optional<size_t> after,
                                              size_t around) const {
    std::vector<GapSlot> slots;
    std::optional<size_t> left, right;  // children of `around`
    if (before && *before != around) left = leave(*before, around, slots);
    std::vector<GapSlot> entering;
    if (after && *after != around) right = enter(*after, around, entering);
    const LayerNode& node = tree_[around];
    if (node.order != LayerNode::Order::sequence) {
      slots.push_back({around, false});
    } else {
      const auto& children = node.children;
      const auto number = [&](size_t child) {
        return static_cast<size_t>(std::find(children.begin(), children.end(), child) - children.begin());
      };
      const size_t begin = left ? number(*left) + 1 : 0;
      const size_t end = right ? number(*right) : children.size();
      if (begin <= end) {
        expand(children, begin, end, slots);
      } else {  // the Sequential ends and runs once more
        expand(children, begin, children.size(), slots);
        if (const auto above = module_around(around)) slots.push_back({*above, false});
        expand(children, 0, end, slots);
      }
    }
    slots.insert(slots.end(), entering.begin(), entering.end());
    return slots;
  }

  /// The module with a forward() of its own that runs `node`.
  [[nodiscard]] std::optional<size_t> module_around(size_t node) const {
    std::optional<size_t> above = tree_[node].parent;
    while (above && tree_[*above].order != LayerNode::Order::own) above = tree_[*above].parent;
    return above;
  }

  /// From `node` up to the child of `around`, which is returned.
  size_t leave(size_t node, size_t around, std::vector<GapSlot>& slots) const {
    if (!is_leaf(node)) slots.push_back({node, false});
    while (*tree_[node].parent != around) {
      const size_t above = *tree_[node].parent;
      const LayerNode& module = tree_[above];
      if (module.order == LayerNode::Order::sequence) {
        const auto here = std::find(module.children.begin(), module.children.end(), node);
        expand(module.children, static_cast<size_t>(here - module.children.begin()) + 1, module.children.size(), slots);
      } else {
        slots.push_back({above, false});
      }
      node = above;
    }
    return node;
  }

  /// From the child of `around`, which is returned, down to `node`.
  size_t enter(size_t node, size_t around, std::vector<GapSlot>& slots) const {
    std::vector<std::vector<GapSlot>> levels;
    if (!is_leaf(node)) levels.push_back({{node, false}});
    while (*tree_[node].parent != around) {
      const size_t above = *tree_[node].parent;
      const LayerNode& module = tree_[above];
      auto& level = levels.emplace_back();
      if (module.order == LayerNode::Order::sequence) {
        const auto here = std::find(module.children.begin(), module.children.end(), node);
        expand(module.children, 0, static_cast<size_t>(here - module.children.begin()), level);
      } else {
        level.push_back({above, false});
      }
      node = above;
    }
    for (auto level = levels.rbegin(); level != levels.rend(); ++level) {
      slots.insert(slots.end(), level->begin(), level->end());
    }
    return node;
  }

  void expand(const std::vector<size_t>& children, size_t begin, size_t end, std::vector<GapSlot>& slots) const {
    for (size_t i = begin; i < end; ++i) {
      const LayerNode& child = tree_[children[i]];
      if (child.order == LayerNode::Order::sequence) {
        expand(child.children, 0, child.children.size(), slots);
      } else if (operators_of(child) != nullptr && !child.holds_tensors()) {
        slots.push_back({children[i], true});
      } else if (child.order == LayerNode::Order::own) {
        slots.push_back({children[i], false});
      }
    }
  }

  /// Operators that run inside of one of these modules, of which nothing is known but their children.
  void give(std::span<const size_t> gap, const std::vector<size_t>& modules) {
    for (const size_t op : gap) {
      for (const size_t module : modules) {
        std::vector<size_t> kind;
        collect(module, op, kind);
        if (kind.empty()) continue;
        const auto known = order_of_execution(tree_[module]);
        const auto rank = [&](size_t node) {
          const std::string_view path = tree_[node].path;
          const std::string_view own = path.substr(path.rfind('.') + 1);
          return std::find(known.begin(), known.end(), own) - known.begin();
        };
        if (!known.empty()) {
          std::stable_sort(kind.begin(), kind.end(), [&](size_t a, size_t b) { return rank(a) < rank(b); });
        }
        const size_t chosen =
            *std::min_element(kind.begin(), kind.end(), [&](size_t a, size_t b) { return counts_[a] < counts_[b]; });
        const MatchedBy by = !known.empty()     ? MatchedBy::sequence
                             : kind.size() == 1 ? MatchedBy::only_one
                                                : MatchedBy::order;
        if (by != MatchedBy::sequence) groups_[kind.front()].push_back(match_.calls.size());
        take(chosen, op, by);
        break;
      }
    }
  }

  /// Layers without tensors that the forward() of a module may run itself.
  void collect(size_t module, size_t op, std::vector<size_t>& kind) const {
    for (const size_t child : tree_[module].children) {
      const bool is_list = tree_[child].order == LayerNode::Order::list;
      if (is_leaf(child)) {
        if (!tree_[child].holds_tensors() && fits(op, child)) kind.push_back(child);
      } else if (is_list || tree_.is_bare(child)) {
        collect(child, op, kind);
      }
    }
  }

  // ---- doubts

  void doubt_sequence(const std::vector<size_t>& gap, size_t stray) {
    for (LayerCall& call : match_.calls) {
      if (call.by != MatchedBy::sequence || std::find(gap.begin(), gap.end(), call.op) == gap.end()) continue;
      if (fits(stray, call.layer) && shape(stray) != shape(call.op)) call.shape_is_sure = false;
    }
  }

  void doubt_shapes() {
    for (const auto& group : groups_) {
      const auto& calls = group.second;
      const bool equal = std::all_of(calls.begin(), calls.end(), [&](size_t call) {
        return shape(match_.calls[call].op) == shape(match_.calls[calls.front()].op);
      });
      if (equal) continue;
      for (const size_t call : calls) match_.calls[call].shape_is_sure = false;
    }
  }

  [[nodiscard]] std::vector<int64_t> shape(size_t op) const {
    const auto& outputs = operators_[op].outputs;
    return outputs.empty() ? std::vector<int64_t>() : outputs.front().shape;
  }

  const LayerTree& tree_;
  const std::vector<TracedOperator>& operators_;
  LayerMatch match_;
  std::vector<int64_t> counts_;                   // calls of each node
  std::map<size_t, std::vector<size_t>> groups_;  // calls of layers that one module runs, by the first of their kind
};

}  // namespace

LayerMatch match_layers(const LayerTree& tree, const std::vector<TracedOperator>& operators) {
  return LayerMatcher(tree, operators).run();
}

}  // namespace athanor
