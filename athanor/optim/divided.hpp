// SPDX-License-Identifier: Apache-2.0
// Optimizers that read a gradient more than once in a step.
#pragma once

#include "athanor/optim/elementwise.hpp"

namespace athanor::optim::detail {

/// The gradients of a group are all looked at, then divided in place, and then the group steps.
template <class Rules>
class DividedOptimizer : public ScaledOptimizer<Rules> {
  using Base = ScaledOptimizer<Rules>;

 public:
  DividedOptimizer(const typename Rules::Options& options, const ParameterGroups& groups) : Base(options, groups) {}

 protected:
  using typename Base::Group;

  void step_group(Group& group, const StepScale& scale) final {
    for (const Parameter& parameter : group.parameters) checked_gradient(parameter, this->name_);
    divide_group(group.parameters, scale);
    step_divided(group);
  }
  virtual void step_divided(Group& group) = 0;
};

}  // namespace athanor::optim::detail
