// SPDX-License-Identifier: Apache-2.0
// The memory of the optimizers whose groups hold options of their own, and how recipes bind them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "athanor/optim/fused.hpp"
#include "athanor/optim/options_walk.hpp"

namespace athanor::optim::detail {

/// `Rules` says what differs between optimizers:
///
///     static constexpr const char* name = "Adam";
///     using Options = ...;                                                    // the options of a group
///     template <class Visitor> static void walk(Options&, Visitor&&);         // see options_walk.hpp
///     static void check_together(const Options&, const std::string& name);    // optional: those that hang together
///     static std::string describe_more(const Options&);                       // optional: what follows the rate
///     struct Slot { void state(State& state); };                              // of one parameter, Python's names
///     static Slot make_slot(const Options&, const at::Tensor& parameter);
template <class Rules>
class GroupedOptimizer : public Optimizer {
 public:
  using Options = typename Rules::Options;

  size_t groups() const final { return groups_.size(); }
  std::optional<double> get(Field field, size_t group) const final {
    const Group& found = group_at(group);
    if (field == Field::lr && found.lr.defined()) return found.lr.template item<double>();
    const double* value = field_of<Rules>(const_cast<Options&>(found.options), field);
    return value != nullptr ? std::optional(*value) : std::nullopt;
  }
  void set(Field field, size_t group, double value) final {
    Options changed = group_at(group).options;
    double* place = field_of<Rules>(changed, field);
    if (place == nullptr) refuse_field(field, name_);
    *place = value;
    check_options<Rules>(changed);
    groups_[group].options = changed;
    if (field == Field::lr && groups_[group].lr.defined()) groups_[group].lr.fill_(value);
  }
  std::string describe() const final { return describe_options(groups_.front().options); }
  static std::string describe_options(const Options& options) {
    std::string more;
    if constexpr (requires { Rules::describe_more(options); }) more = Rules::describe_more(options);
    return std::string(Rules::name) + "(lr " + shortest(options.lr) + more + ")";
  }
  void state(State& state) final {
    for (size_t g = 0; g < groups_.size(); ++g) {
      Group& group = groups_[g];
      if (state.saving()) read_lr(group);
      OptionsState options{group.options};
      state.child("param_groups." + std::to_string(g), options);
      if (state.loading() && group.lr.defined()) group.lr.fill_(group.options.lr);
      for (size_t i = 0; i < group.parameters.size(); ++i) state.child(group.parameters[i].name, group.slots[i]);
    }
  }

 protected:
  struct Group {
    Options options;
    Parameters parameters;
    std::vector<typename Rules::Slot> slots;
    at::Tensor lr;  ///< Where the learning rate lies when it is a tensor.
    [[nodiscard]] at::Device device() const { return parameters.front().tensor.device(); }
  };

  GroupedOptimizer(const Options& options, const ParameterGroups& groups)
      : Optimizer(flatten(groups, Rules::name)), name_(Rules::name) {
    for (const ParameterGroup& group : groups) {
      Group& bound = groups_.emplace_back(Group{options, group.parameters, {}, {}});
      take_group_options<Rules>(group.options, bound.options);
      for (const Parameter& parameter : group.parameters)
        bound.slots.push_back(Rules::make_slot(bound.options, parameter.tensor));
    }
  }

  /// Brings a learning rate that is a tensor into the options, for kernels that take a number. Waits for a device.
  static void read_lr(Group& group) {
    if (group.lr.defined()) group.options.lr = group.lr.template item<double>();
  }

  void bind_lr(size_t group, at::Tensor lr) final {
    const Group& found = group_at(group);
    check_lr_tensor(lr, found.device(), name_);
    Options changed = found.options;
    changed.lr = lr.item<double>();
    check_options<Rules>(changed);
    groups_[group].options = changed;
    groups_[group].lr = std::move(lr);
  }

  const std::string name_;
  std::vector<Group> groups_;

 private:
  struct OptionsState {
    Options& options;
    void state(State& state) { Rules::walk(options, OptionState{state}); }
  };

  const Group& group_at(size_t group) const {
    if (group >= groups_.size()) refuse_group(group, groups_.size(), name_);
    return groups_[group];
  }
};

/// The options as they came. Throws Error for a value out of range.
template <class Rules>
typename Rules::Options checked_options(typename Rules::Options options) {
  check_options<Rules>(options);
  return options;
}

/// What an OptionsRecipe takes: makes `Bound`, a GroupedOptimizer.
template <class Bound>
std::shared_ptr<Optimizer> bind_optimizer(const typename Bound::Options& options, const ParameterGroups& groups) {
  return std::make_shared<Bound>(options, groups);
}

template <class Bound>
std::string describe_recipe(const typename Bound::Options& options) {
  return Bound::describe_options(options);
}

}  // namespace athanor::optim::detail
