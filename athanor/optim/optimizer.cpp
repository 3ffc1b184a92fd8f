// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/optimizer.hpp"

namespace athanor {

at::Tensor Optimizer::step(const Closure& evaluate) {
  at::Tensor loss = evaluate();
  step();
  return loss;
}

void Optimizer::zero_grad() {
  for (Parameter& parameter : parameters_) parameter.tensor.mutable_grad().reset();
}

Parameters parameters_of(const std::vector<at::Tensor>& tensors) {
  Parameters parameters;
  for (size_t i = 0; i < tensors.size(); ++i) parameters.push_back({std::to_string(i), tensors[i]});
  return parameters;
}

}  // namespace athanor
