// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/optimizers_check.hpp"

#include <set>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

std::set<const void*> trained_by(const Optimizers& optimizers) {
  std::set<const void*> trained;
  for (const NamedOptimizer& named : optimizers) {
    for (const Parameter& parameter : named.optimizer->parameters())
      trained.insert(parameter.tensor.unsafeGetTensorImpl());
  }
  return trained;
}

}  // namespace

void check_optimizers(const Task& task, const Optimizers& optimizers) {
  if (optimizers.empty()) throw Error({.what = "a task without an optimizer", .where = "configure_optimizers()"});
  std::set<const void*> known;
  for (const auto& [name, tensor] : named_tensors(task.nets())) known.insert(tensor.unsafeGetTensorImpl());
  std::set<std::string> names;
  for (const NamedOptimizer& named : optimizers) {
    if (named.optimizer == nullptr || named.every < 1) {
      throw Error({.what = named.every < 1 ? "an optimizer is never due" : "an optimizer is empty",
                   .where = "configure_optimizers(), " + named.name,
                   .got = "every = " + std::to_string(named.every),
                   .expected = "an optimizer that steps in every 1st, 2nd, … pass"});
    }
    if (!names.insert(named.name).second) {
      throw Error({.what = "two optimizers have one name",
                   .where = "configure_optimizers()",
                   .got = named.name,
                   .expected = "a name for each"});
    }
    for (const Parameter& parameter : named.optimizer->parameters()) {
      if (known.contains(parameter.tensor.unsafeGetTensorImpl())) continue;
      throw Error({.what = "an optimizer trains a parameter that is in no net of the task",
                   .where = "configure_optimizers(), " + named.name,
                   .got = parameter.name + ", " + describe(parameter.tensor),
                   .expected = "parameters of registered nets, so that they are moved, saved and restored",
                   .todo = "register the net that it belongs to with register_net"});
    }
  }
}

std::string describe_untrained(const Task& task, const Optimizers& optimizers) {
  const std::set<const void*> trained = trained_by(optimizers);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : named_tensors(task.nets())) {
    if (tensor.requires_grad() && !trained.contains(tensor.unsafeGetTensorImpl())) names.push_back(name);
  }
  if (names.empty()) return {};
  const size_t count = names.size();
  constexpr size_t shown = 4;
  if (count > shown) names.resize(shown);
  return std::to_string(count) + (count == 1 ? " parameter requires" : " parameters require") + " a gradient and " +
         (count == 1 ? "is" : "are") + " in no optimizer: " + join(names, ", ") + (count > shown ? ", …" : "");
}

}  // namespace athanor
