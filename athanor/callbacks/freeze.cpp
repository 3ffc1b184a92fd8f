// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/freeze.hpp"

#include <torch/torch.h>

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

bool is_batch_norm(const torch::nn::Module& module) {
  return dynamic_cast<const torch::nn::BatchNorm1dImpl*>(&module) != nullptr ||
         dynamic_cast<const torch::nn::BatchNorm2dImpl*>(&module) != nullptr ||
         dynamic_cast<const torch::nn::BatchNorm3dImpl*>(&module) != nullptr;
}

void find_batch_norms(const std::shared_ptr<torch::nn::Module>& module, const auto& found) {
  if (is_batch_norm(*module)) found(module);
  for (const auto& child : module->children()) find_batch_norms(child, found);
}

}  // namespace

Freeze::Freeze(FreezeOptions options) : options_(std::move(options)) {}

void Freeze::on_fit_begin(Trainer& trainer) {
  held_.clear();
  norms_.clear();
  const Nets& nets = trainer.task().nets();
  std::vector<std::string> names;
  bool some_left = false;
  for (const NamedNet& net : nets) {
    const std::string prefix = nets.size() == 1 ? "" : net.name + ".";
    for (const auto& item : net.module->named_parameters()) {
      if (!item.value().requires_grad()) continue;
      Held held{prefix + item.key(), item.value()};
      names.push_back(held.name);
      const bool fits = std::any_of(options_.patterns.begin(), options_.patterns.end(),
                                    [&](const std::string& pattern) { return matches(pattern, held.name); });
      if (fits) {
        for (size_t i = 0; i < options_.thaw.size(); ++i) {
          if (!matches(options_.thaw[i].pattern, held.name)) continue;
          if (!held.thaw || options_.thaw[i].at.count() < options_.thaw[*held.thaw].at.count()) held.thaw = i;
        }
        held_.push_back(std::move(held));
      } else {
        some_left = true;
      }
    }
    find_batch_norms(net.module, [&](const auto& module) {
      if (module->is_training()) norms_.push_back({module, module->parameters(false)});
    });
  }
  const auto require_match = [&](const std::string& pattern, bool among_frozen, const char* where) {
    const bool fits =
        among_frozen
            ? std::any_of(held_.begin(), held_.end(), [&](const Held& held) { return matches(pattern, held.name); })
            : std::any_of(names.begin(), names.end(), [&](const std::string& name) { return matches(pattern, name); });
    if (fits) return;
    std::vector<std::string> there;
    for (const Held& held : held_) there.push_back(held.name);
    if (!among_frozen) there = names;
    const std::string near = nearest(pattern, there);
    throw Error({.what = among_frozen ? "a pattern thaws nothing that was frozen" : "a pattern fits no parameter",
                 .where = where,
                 .got = pattern,
                 .expected = "a pattern for some of " + join(there, ", "),
                 .todo = near.empty() ? "" : "did you mean " + near + "?"});
  };
  for (const std::string& pattern : options_.patterns) require_match(pattern, false, "FreezeOptions::patterns");
  for (const Thaw& thaw : options_.thaw) {
    require_match(thaw.pattern, true, "FreezeOptions::thaw");
    if (thaw.at.unit() != options_.thaw.front().at.unit() || thaw.at.unit() == Duration::Unit::seconds) {
      throw Error({.what = "layers are thawed at moments that can't be compared",
                   .where = "FreezeOptions::thaw",
                   .got = thaw.at.describe(),
                   .expected = "all of them in epochs, in steps or in samples"});
    }
  }
  if (!some_left && std::none_of(held_.begin(), held_.end(), [](const Held& held) { return held.thaw.has_value(); })) {
    throw Error({.what = "every parameter is frozen for the whole run",
                 .where = "FreezeOptions::patterns",
                 .got = join(options_.patterns, ", "),
                 .todo = "leave some layer out, or thaw one later"});
  }
  apply(trainer.position().elapsed());
}

void Freeze::on_step_end(Trainer& trainer) {
  if (!options_.thaw.empty()) apply(trainer.position().elapsed());
}

void Freeze::on_fit_end(Trainer&) {
  for (Held& held : held_) set(held, false);
  for (const Norm& norm : norms_) norm.module->train();
}

void Freeze::set(Held& held, bool frozen) {
  if (held.frozen == frozen) return;
  held.frozen = frozen;
  held.parameter.requires_grad_(!frozen);
  if (frozen) held.parameter.mutable_grad().reset();
}

void Freeze::apply(const Elapsed& now) {
  bool changed = false;
  for (Held& held : held_) {
    const bool frozen = !held.thaw || !options_.thaw[*held.thaw].at.reached(now);
    changed = changed || frozen != held.frozen;
    set(held, frozen);
  }
  if (!changed) return;
  for (Norm& norm : norms_) {
    const bool frozen =
        !norm.parameters.empty() && std::all_of(norm.parameters.begin(), norm.parameters.end(),
                                                [](const at::Tensor& parameter) { return !parameter.requires_grad(); });
    if (frozen == norm.frozen) continue;
    norm.frozen = frozen;
    norm.module->train(!frozen);
  }
}

std::vector<GroupPattern> learning_rates_by_depth(const torch::nn::Module& module, double lr, double decay,
                                                  const std::string& prefix) {
  if (!(lr >= 0) || !(decay > 0)) {
    throw Error({.what = "learning rates by depth are out of range",
                 .where = "learning_rates_by_depth",
                 .got = "lr " + format_number(lr) + ", decay " + format_number(decay),
                 .expected = "lr 0 or more, decay above 0"});
  }
  std::vector<GroupPattern> groups;
  for (const auto& child : module.named_children()) {
    if (child.value()->parameters().empty()) continue;
    groups.push_back({prefix + child.key() + ".*", {}});
  }
  double rate = lr;
  for (auto group = groups.rbegin(); group != groups.rend(); ++group, rate *= decay) group->options.lr = rate;
  return groups;
}

}  // namespace athanor
