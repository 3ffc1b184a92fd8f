// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/optimizer.hpp"

#include "athanor/core/error.hpp"

namespace athanor {

at::Tensor Optimizer::step(const Closure& evaluate) {
  at::Tensor loss = evaluate();
  step();
  return loss;
}

void Optimizer::zero_grad() {
  for (Parameter& parameter : parameters_) parameter.tensor.mutable_grad().reset();
}

double Optimizer::lr(size_t group) const {
  const std::optional<double> lr = get(Field::lr, group);
  if (!lr) throw Error({.what = "this optimizer has no learning rate", .where = describe()});
  return *lr;
}

void Optimizer::bind_lr(size_t, at::Tensor) {
  throw Error({.what = "this optimizer takes no tensor as its learning rate",
               .where = describe(),
               .todo = "set the learning rate as a number"});
}

const char* name_of(Optimizer::Field field) noexcept {
  switch (field) {
    case OptimizerField::lr:
      return "lr";
    case OptimizerField::momentum:
      return "momentum";
    case OptimizerField::weight_decay:
      return "weight_decay";
  }
  return "";
}

Optimizers::Optimizers(std::shared_ptr<Optimizer> only) { push_back({"optimizer", std::move(only)}); }
Optimizers::Optimizers(std::initializer_list<NamedOptimizer> named) : std::vector<NamedOptimizer>(named) {}

}  // namespace athanor
