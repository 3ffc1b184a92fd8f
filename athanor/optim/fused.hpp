// SPDX-License-Identifier: Apache-2.0
// What our fused optimizers share: groups with resolved options, lists of tensors as the kernels take them, state.
#pragma once

#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/optimizer.hpp"

namespace athanor::optim::detail {

[[noreturn]] void refuse_field(Optimizer::Field field, const std::string& optimizer);
[[noreturn]] void refuse_group(size_t group, size_t groups, const std::string& optimizer);

/// All parameters of the groups in one list. Throws Error for a group without parameters, a tensor that is not a dense
/// floating-point leaf that requires a gradient, a tensor in two places, a name that two parameters share, and a group
/// that lies on several devices.
Parameters flatten(const ParameterGroups& groups, const std::string& optimizer);

/// Throws Error unless `ok`: an option out of its range.
void require(bool ok, const std::string& optimizer, const char* option, double value, const char* expected);
/// Throws Error when a group sets an option that the optimizer does not have.
void refuse_option(bool is_set, const std::string& optimizer, const char* option);

/// A GradientScale as the kernels take it, on the device of a group.
struct KernelScale {
  bool skip = false;  ///< Known on the host: nothing is to be done. Only where `found_inf` lies on the CPU.
  std::optional<at::Tensor> divisor = {};
  std::optional<at::Tensor> found_inf = {};  ///< 0 or 1, because the kernels skip for exactly 1.
};
/// Throws Error for a part that is not a float32 scalar. A divisor of 1 on the CPU is left out, because the kernel
/// would write the gradients back.
KernelScale kernel_scale(const GradientScale& scale, at::Device device, const std::string& optimizer);

/// Adds 1 to every step counter unless the step is skipped: on the CPU directly, elsewhere on the device.
void count_steps(std::vector<at::Tensor>& steps, const KernelScale& scale);

/// A float32 scalar 0 beside `parameter`, as the fused kernels expect a step counter.
at::Tensor make_step_counter(const at::Tensor& parameter);

/// Zeros with the layout of `parameter`.
at::Tensor make_moment(const at::Tensor& parameter);

/// The gradient, checked: dense, of the shape and dtype of its parameter. One with other strides is replaced by a copy
/// with those of the parameter. Call it without gradient mode.
const at::Tensor& checked_gradient(const Parameter& parameter, const std::string& optimizer);

/// The memory of the optimizers whose groups hold options of their own. `Rules` says what differs between them:
///
///     using Options = ...;                                                   the options of a group
///     struct Slot { void state(State&); };                                   the state of one parameter
///     static Slot make_slot(const Options&, const at::Tensor& parameter);
///     static void check(const Options&, const std::string& optimizer);       throws for a value out of range
///     static void apply(const GroupOptions&, Options&, const std::string& optimizer);
///     static double* field(Options&, Optimizer::Field);                      null when there is none of that name
///     static std::string describe(const Options&, const std::string& optimizer);
///     static void state(Options&, State&);
template <class Rules>
class GroupedOptimizer : public Optimizer {
 public:
  using Options = typename Rules::Options;

  size_t groups() const final { return groups_.size(); }
  std::optional<double> get(Field field, size_t group) const final {
    const double* value = Rules::field(const_cast<Options&>(group_at(group).options), field);
    return value != nullptr ? std::optional(*value) : std::nullopt;
  }
  void set(Field field, size_t group, double value) final {
    Options changed = group_at(group).options;
    double* place = Rules::field(changed, field);
    if (place == nullptr) refuse_field(field, name_);
    *place = value;
    Rules::check(changed, name_);
    groups_[group].options = changed;
  }
  std::string describe() const final { return Rules::describe(groups_.front().options, name_); }
  void state(State& state) final {
    for (size_t g = 0; g < groups_.size(); ++g) {
      Group& group = groups_[g];
      OptionsState options{group.options};
      state.child("param_groups." + std::to_string(g), options);
      for (size_t i = 0; i < group.parameters.size(); ++i) state.child(group.parameters[i].name, group.slots[i]);
    }
  }

 protected:
  struct Group {
    Options options;
    Parameters parameters;
    std::vector<typename Rules::Slot> slots;
    [[nodiscard]] at::Device device() const { return parameters.front().tensor.device(); }
  };

  GroupedOptimizer(std::string name, const ParameterGroups& groups, const Options& options)
      : Optimizer(flatten(groups, name)), name_(std::move(name)) {
    for (const ParameterGroup& group : groups) {
      Group& bound = groups_.emplace_back(Group{options, group.parameters, {}});
      Rules::apply(group.options, bound.options, name_);
      Rules::check(bound.options, name_);
      for (const Parameter& parameter : group.parameters)
        bound.slots.push_back(Rules::make_slot(bound.options, parameter.tensor));
    }
  }

  const std::string name_;
  std::vector<Group> groups_;

 private:
  struct OptionsState {
    Options& options;
    void state(State& state) { Rules::state(options, state); }
  };

  const Group& group_at(size_t group) const {
    if (group >= groups_.size()) refuse_group(group, groups_.size(), name_);
    return groups_[group];
  }
};

}  // namespace athanor::optim::detail
