// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/keep_all.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include "athanor/core/error.hpp"
#include "athanor/data/concatenate.hpp"

namespace athanor::metrics::detail {
namespace {

bool can_join(const Tree& first, const Tree& next) {
  if (first.kind() != next.kind()) return false;
  if (first.is_tensor()) {
    return first.tensor().dim() == next.tensor().dim() &&
           first.tensor().sizes().slice(1) == next.tensor().sizes().slice(1);
  }
  if (first.size() != next.size()) return false;
  if (first.is_list()) {
    for (size_t i = 0; i < first.size(); ++i) {
      if (!can_join(first[i], next[i])) return false;
    }
  } else if (first.is_dictionary()) {
    for (const auto& [name, item] : first.entries()) {
      const Tree* other = next.find(name);
      if (other == nullptr || !can_join(item, *other)) return false;
    }
  }
  return true;
}

void check_join(const char* what, const std::vector<Tree>& before, const Tree& next) {
  if (before.empty() || can_join(before.front(), next)) return;
  throw Error({.what = std::string("the ") + what + " of two batches can't be joined",
               .where = "keep_all",
               .got = next.describe(),
               .expected = before.front().describe() + ", but for the size of dimension 0",
               .todo = "pad them to one shape, or write a metric class that adds up what it needs"});
}

Tree copy_of(const Tree& tree, const KeepAllOptions& options) {
  return tree.map([&](const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    const at::Tensor whole = tensor.dim() == 0 ? tensor.detach().reshape({1}) : tensor.detach();
    const at::Device device = options.on_cpu ? at::Device(at::kCPU) : tensor.device();
    return whole.to(device, whole.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  });
}

/// Parts that were loaded from a file lie on the CPU; those that came since decide where the whole lies.
Tree joined(const std::vector<Tree>& parts) {
  const at::Tensor last = parts.back().first_tensor();
  if (!last.defined()) return parts.back();
  std::vector<Tree> together;
  together.reserve(parts.size());
  for (const Tree& part : parts) together.push_back(part.to(last.device()));
  return concatenate(together);
}

}  // namespace

void Kept::append(const Tree& predictions, const Tree& target) {
  check_join("predictions", predictions_, predictions);
  check_join("targets", targets_, target);
  predictions_.push_back(predictions);
  targets_.push_back(target);
}

void Kept::keep(const Tree& predictions, const Tree& target) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  append(copy_of(predictions, options_), copy_of(target, options_));
}

void Kept::merge(const Kept& other) {
  const size_t parts = other.predictions_.size();
  for (size_t i = 0; i < parts; ++i) append(Tree(other.predictions_[i]), Tree(other.targets_[i]));
}

void Kept::reset() {
  predictions_.clear();
  targets_.clear();
}

Kept::Whole Kept::whole() const {
  if (empty()) {
    throw Error({.what = "a metric was asked for its value before anything was seen",
                 .where = "keep_all",
                 .expected = "at least one batch",
                 .todo = "call update() first"});
  }
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  return {joined(predictions_), joined(targets_)};
}

void Kept::state(State& state) {
  Tree predictions;
  Tree targets;
  bool any = !empty();
  if (state.saving() && any) {
    // Two tensors in a file instead of two for each batch.
    auto [whole_predictions, whole_targets] = whole();
    predictions_ = {predictions = std::move(whole_predictions)};
    targets_ = {targets = std::move(whole_targets)};
  }
  state.value("any", any);
  state.value("predictions", predictions);
  state.value("targets", targets);
  if (!state.loading()) return;
  reset();
  if (any) append(predictions, targets);
}

}  // namespace athanor::metrics::detail
