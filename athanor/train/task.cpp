// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/task.hpp"

#include <torch/torch.h>

#include "athanor/core/error.hpp"

namespace athanor {

void Task::add_net(const std::string& name, std::shared_ptr<torch::nn::Module> module) {
  if (module == nullptr) {
    throw Error({.what = "a net is empty", .where = "register_net(\"" + name + "\")", .todo = "construct it first"});
  }
  for (const NamedNet& net : nets_) {
    if (net.name == name) {
      throw Error({.what = "two nets of a task have one name",
                   .where = "register_net",
                   .got = name,
                   .expected = "a name that is not taken"});
    }
  }
  nets_.push_back({name, std::move(module)});
}

ParameterGroups Task::parameters() const {
  ParameterGroup group;
  for (const NamedNet& net : nets_) {
    for (Parameter& parameter : parameters_of(*net.module)) {
      if (nets_.size() > 1) parameter.name = net.name + "." + parameter.name;
      group.parameters.push_back(std::move(parameter));
    }
  }
  return {std::move(group)};
}

}  // namespace athanor
