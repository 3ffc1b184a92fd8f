// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/python_optimizer.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <array>
#include <set>

#include "athanor/core/error.hpp"
#include "athanor/core/state.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

constexpr std::string_view group_prefix = "param_groups.";

/// One group of a saved state: its options, and its parameters with their states.
struct SavedGroup {
  Tree* options;
  std::vector<std::pair<std::string, Tree*>> parameters;
};

/// A saved state is the options of a group, the parameters of that group, the options of the next group.
std::vector<SavedGroup> groups_of(Tree& state, const Optimizer& optimizer) {
  std::vector<SavedGroup> groups;
  std::set<std::string> names;
  for (const Parameter& parameter : optimizer.parameters()) names.insert(parameter.name);
  for (auto& [name, entry] : state.entries()) {
    if (name == std::string(group_prefix) + std::to_string(groups.size())) {
      groups.push_back({&entry, {}});
    } else if (!groups.empty() && names.contains(name) && entry.is_dictionary()) {
      groups.back().parameters.emplace_back(name, &entry);
    } else {
      groups.clear();
      break;
    }
  }
  std::size_t parameters = 0;
  for (const SavedGroup& group : groups) parameters += group.parameters.size();
  if (groups.size() == optimizer.groups() && parameters == names.size()) return groups;
  throw Error({.what = "this optimizer does not keep its state by parameter, so Python can't share it",
               .where = optimizer.describe(),
               .todo = "use an optimizer of athanor::optim"});
}

// Python keeps both betas under one name.
constexpr std::array<std::string_view, 2> beta_names{"beta1", "beta2"};

Tree python_group(const SavedGroup& group, std::int64_t first) {
  Tree::Dictionary options;
  Tree::List both_betas;
  for (const auto& [name, value] : group.options->entries()) {
    if (name == beta_names[0] || name == beta_names[1]) {
      both_betas.push_back(value);
      if (both_betas.size() == beta_names.size()) options.emplace_back("betas", Tree::list(both_betas));
    } else {
      options.emplace_back(name, value);
    }
  }
  Tree::List numbers;
  for (std::size_t i = 0; i < group.parameters.size(); ++i) numbers.emplace_back(first + static_cast<std::int64_t>(i));
  options.emplace_back("params", Tree::list(std::move(numbers)));
  return Tree(std::move(options));
}

/// With a dampening, and only then, SGD keeps whether a momentum has `started`: the first is the gradient itself.
bool is_dampened(const Tree& options) {
  const Tree* dampening = options.find("dampening");
  return dampening != nullptr && dampening->real() != 0;
}

/// The state of one parameter; empty before its first step.
Tree::Dictionary python_slot(const Tree& slot, const Tree& options) {
  Tree::Dictionary python;
  const Tree* started = slot.find("started");
  if (started != nullptr && is_dampened(options) && !started->boolean()) return python;
  for (const auto& [name, value] : slot.entries()) {
    if (value.is_tensor()) python.emplace_back(name, value);
  }
  return python;
}

class PythonState {
 public:
  PythonState(const Tree& saved, Optimizer& optimizer) : saved_(saved), optimizer_(optimizer) {}

  /// The state of the optimizer with what Python has saved in its place.
  Tree merged() {
    Tree state = save_state(optimizer_);
    std::vector<SavedGroup> groups = groups_of(state, optimizer_);
    const Tree::List& theirs = python_groups();
    if (theirs.size() != groups.size()) {
      refuse({"groups of parameters: " + std::to_string(theirs.size()) + " in the file, " +
              std::to_string(groups.size()) + " here"});
    }
    for (std::size_t g = 0; g < groups.size(); ++g) merge_group(groups[g], theirs[g], g);
    if (!differences_.empty()) refuse(differences_);
    return state;
  }

 private:
  [[noreturn]] void refuse(const std::vector<std::string>& differences) const {
    constexpr std::size_t shown = 20;
    std::vector<std::string> lines(
        differences.begin(), differences.begin() + static_cast<std::ptrdiff_t>(std::min(shown, differences.size())));
    if (differences.size() > shown) lines.push_back("and " + std::to_string(differences.size() - shown) + " more");
    throw Error({.what = "the state of Python's optimizer does not fit; nothing was loaded",
                 .where = optimizer_.describe(),
                 .got = join(lines, "\n            "),
                 .expected = "the state of an optimizer of the same kind, with the same parameters in the same order",
                 .todo = "bind the optimizer to the parameters in the order and groups of Python"});
  }

  const Tree::List& python_groups() const {
    const Tree* groups = saved_.find("param_groups");
    const Tree* state = saved_.find("state");
    if (groups == nullptr || !groups->is_list() || state == nullptr || !state->is_dictionary()) {
      throw Error({.what = "this is not the state of an optimizer of Python",
                   .got = saved_.describe().substr(0, 200),
                   .expected = "{state: {...}, param_groups: [...]}",
                   .todo = "save optimizer.state_dict() in Python, and give that part of the checkpoint"});
    }
    return groups->items();
  }

  void merge_group(SavedGroup& ours, const Tree& theirs, std::size_t number) {
    const Tree* parameters = theirs.find("params");
    if (parameters == nullptr || !parameters->is_list() || parameters->size() != ours.parameters.size()) {
      differences_.push_back("group " + std::to_string(number) + ": " +
                             std::to_string(parameters == nullptr ? 0 : parameters->size()) +
                             " parameters in the file, " + std::to_string(ours.parameters.size()) + " here");
      return;
    }
    for (auto& [name, value] : ours.options->entries()) merge_option(name, value, theirs, number);
    const std::vector<std::size_t> order = order_of(ours, theirs);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto& [name, slot] = ours.parameters[order[i]];
      merge_slot(name, *slot, parameters->items()[i], is_dampened(*ours.options));
    }
  }

  /// For each parameter of Python's group the place of ours.
  static std::vector<std::size_t> order_of(const SavedGroup& ours, const Tree& theirs) {
    std::vector<std::size_t> order(ours.parameters.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const Tree* names = theirs.find("param_names");
    if (names == nullptr || !names->is_list() || names->size() != order.size()) return order;
    std::vector<std::size_t> by_name;
    for (const Tree& name : names->items()) {
      const auto found = std::find_if(ours.parameters.begin(), ours.parameters.end(), [&](const auto& each) {
        return name.kind() == Tree::Kind::text && each.first == name.text();
      });
      if (found == ours.parameters.end()) return order;
      by_name.push_back(static_cast<std::size_t>(found - ours.parameters.begin()));
    }
    return by_name;
  }

  void merge_option(const std::string& name, Tree& value, const Tree& theirs, std::size_t group) {
    const Tree* found = theirs.find(name);
    if (name == beta_names[0] || name == beta_names[1]) {
      const Tree* both = theirs.find("betas");
      found = both != nullptr && both->is_list() && both->size() == beta_names.size()
                  ? &both->items()[name == beta_names[1]]
                  : nullptr;
    }
    if (found == nullptr) return;
    // A learning rate may be a tensor in Python.
    Tree given = *found;
    if (given.is_tensor() && given.tensor().defined() && given.tensor().numel() == 1 &&
        value.kind() == Tree::Kind::real) {
      given = Tree(given.tensor().item<double>());
    }
    if (value.kind() == Tree::Kind::real && given.kind() == Tree::Kind::integer) given = Tree(given.real());
    // A flag decides what the states are made of, so it has to be the same.
    const bool is_flag = value.kind() == Tree::Kind::boolean;
    if (given.kind() == value.kind() && (!is_flag || given.boolean() == value.boolean())) {
      value = std::move(given);
    } else {
      differences_.push_back("group " + std::to_string(group) + ", " + name + ": " + found->describe() +
                             " in the file, " + value.describe() + " here");
    }
  }

  void merge_slot(const std::string& name, Tree& slot, const Tree& number, bool dampened) {
    const std::string key = number.kind() == Tree::Kind::integer ? std::to_string(number.integer()) : std::string();
    const Tree* theirs = saved_["state"].find(key);
    const bool has_state = theirs != nullptr && theirs->is_dictionary() && !theirs->entries().empty();
    bool has_tensor = false;
    for (auto& [part, value] : slot.entries()) {
      if (value.kind() == Tree::Kind::boolean) continue;
      const Tree* given = has_state ? theirs->find(part) : nullptr;
      if (given != nullptr && given->empty()) given = nullptr;
      if (given != nullptr) {
        has_tensor = true;
        merge_part("parameter " + key + " (" + name + "), " + part, part, value, *given, parameter_named(name));
      } else if (value.is_tensor()) {
        if (has_state && !is_optional(part)) {
          differences_.push_back("parameter " + key + " (" + name + "): no " + part + " in the file");
        }
        value = Tree(at::zeros_like(value.tensor()));
      }
    }
    for (auto& [part, value] : slot.entries()) {
      if (value.kind() == Tree::Kind::boolean) value = Tree(has_tensor && dampened);
    }
    if (!has_state) return;
    for (const auto& [part, value] : theirs->entries()) {
      if (slot.find(part) == nullptr && !value.empty()) {
        differences_.push_back("parameter " + key + " (" + name + "): " + part + " in the file, none here");
      }
    }
  }

  const at::Tensor& parameter_named(const std::string& name) const {
    const Parameters& all = optimizer_.parameters();
    return std::find_if(all.begin(), all.end(), [&](const Parameter& each) { return each.name == name; })->tensor;
  }

  /// Python begins a momentum by the first step and not before.
  static bool is_optional(std::string_view part) { return part == "momentum_buffer"; }

  void merge_part(const std::string& place, const std::string& part, Tree& value, const Tree& given,
                  const at::Tensor& parameter) {
    at::Tensor tensor;
    if (given.is_tensor()) {
      tensor = given.tensor();
    } else if (value.is_tensor() && (given.kind() == Tree::Kind::integer || given.kind() == Tree::Kind::real)) {
      tensor = at::zeros_like(value.tensor()).fill_(given.real());  // a step, before PyTorch 1.12
    }
    // The step of Python has the type of the default, which may be another than that of ours.
    const at::Tensor& like = value.is_tensor() ? value.tensor() : parameter;
    if (tensor.defined() && tensor.sizes() == like.sizes() &&
        (tensor.scalar_type() == like.scalar_type() || part == "step")) {
      value = Tree(tensor.to(like.options().requires_grad(false)));
    } else {
      differences_.push_back(place + ": " + given.describe() + " in the file, " + value.describe() + " here");
    }
  }

  const Tree& saved_;
  Optimizer& optimizer_;
  std::vector<std::string> differences_;
};

}  // namespace

Tree python_optimizer_state(Optimizer& optimizer) {
  Tree state = save_state(optimizer);
  Tree::Dictionary parameters;
  Tree::List groups;
  std::int64_t number = 0;
  for (const SavedGroup& group : groups_of(state, optimizer)) {
    groups.push_back(python_group(group, number));
    for (const auto& [name, slot] : group.parameters) {
      Tree::Dictionary python = python_slot(*slot, *group.options);
      if (!python.empty()) parameters.emplace_back(std::to_string(number), Tree(std::move(python)));
      ++number;
    }
  }
  return {{"state", Tree(std::move(parameters))}, {"param_groups", Tree::list(std::move(groups))}};
}

void load_python_optimizer_state(Optimizer& optimizer, const Tree& saved) {
  const at::NoGradGuard no_grad;
  load_state(optimizer, PythonState(saved, optimizer).merged());
}

}  // namespace athanor
