// SPDX-License-Identifier: Apache-2.0
// Optimizers that read a gradient more than once in a step.
#pragma once

#include <ATen/core/grad_mode.h>

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim::detail {

/// The gradients of a group are all looked at, then divided in place, and then the group steps.
template <class Rules>
class DividedOptimizer : public GroupedOptimizer<Rules> {
  using Base = GroupedOptimizer<Rules>;

 public:
  DividedOptimizer(const typename Rules::Options& options, const ParameterGroups& groups) : Base(options, groups) {}

  using Optimizer::step;
  void step(const GradientScale& gradient_scale) final {
    const at::NoGradGuard no_grad;
    for (Group& group : this->groups_) {
      const StepScale scale = step_scale(gradient_scale, group.device(), this->name_);
      if (scale.skip) continue;
      Base::read_lr(group);
      for (const Parameter& parameter : group.parameters) checked_gradient(parameter, this->name_);
      divide_group(group.parameters, scale);
      step_group(group);
    }
  }

 protected:
  using typename Base::Group;

  virtual void step_group(Group& group) = 0;
};

}  // namespace athanor::optim::detail
