// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/task.hpp"

#include <torch/torch.h>

#include "athanor/core/error.hpp"
#include "athanor/train/loop.hpp"

namespace athanor {

Task::Task() = default;
Task::~Task() = default;

StepOutput Task::validation_step(const Batch& batch, StepContext& context) { return training_step(batch, context); }
StepOutput Task::test_step(const Batch& batch, StepContext& context) { return validation_step(batch, context); }
StepOutput Task::predict_step(const Batch& batch, StepContext& context) { return test_step(batch, context); }
StepOutput Task::rehearsal_step(const Batch&, StepContext&) { return {}; }
Metrics Task::configure_metrics(Stage) { return {}; }
void Task::begin_stage(const StageContext&) {}
void Task::end_stage(const StageContext&) {}
Feeds Task::data() { return {}; }
void Task::check_data(const Dataset&, const StepOutput&) {}
void Task::state(State&) {}

void Task::training_epoch(Loop& loop) {
  while (loop.next()) loop.update();
}

void StageContext::log(std::string_view name, double value) const { meter_->log(name, value, 1); }

void Task::add_net(const std::string& name, std::shared_ptr<torch::nn::Module> module, bool frozen) {
  if (module == nullptr) {
    throw Error({.what = "a net is empty", .where = "register_net(\"" + name + "\")", .todo = "construct it first"});
  }
  for (const Nets* nets : {&nets_, &frozen_}) {
    for (const NamedNet& net : *nets) {
      if (net.name != name) continue;
      throw Error({.what = "two nets of a task have one name",
                   .where = "register_net",
                   .got = name,
                   .expected = "a name that is not taken"});
    }
  }
  if (frozen) {
    module->eval();
    for (torch::Tensor& parameter : module->parameters()) parameter.set_requires_grad(false);
  }
  (frozen ? frozen_ : nets_).push_back({name, std::move(module)});
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

ParameterGroups Task::parameters(const std::vector<GroupPattern>& patterns) const {
  return group_parameters(parameters().front().parameters, patterns);
}

}  // namespace athanor
