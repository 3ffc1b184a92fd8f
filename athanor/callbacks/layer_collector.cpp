// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/layer_collector.hpp"

#include <ATen/EmptyTensor.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "athanor/callbacks/unit_flags.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/layer_operators.hpp"

namespace athanor {
namespace {

bool is_reported_layer(const LayerNode& node) {
  return node.module != nullptr && (node.children.empty() || !node.parameters.empty());
}

/// Operators whose results are activations, besides those that read parameters.
bool gives_activations(std::string_view op) {
  static constexpr std::string_view others[] = {"softmax",    "log_softmax",   "glu",        "prelu",
                                                "layer_norm", "instance_norm", "group_norm", "batch_norm",
                                                "threshold",  "hardshrink",    "softshrink"};
  return is_activation_function(op) || is_among(op, others);
}

/// The spatial dimensions of what has channels; none for others.
std::optional<int64_t> spatial_dimensions(std::string_view op) {
  op = without_underscore(op);
  if (op.starts_with("conv") && op.size() > 2 && op.ends_with('d')) return op[op.size() - 2] - '0';
  return std::nullopt;
}

/// LibTorch's own copy reads what it writes over from memory first, which takes twice as long where that is cold.
at::Tensor copy_of(const at::Tensor& tensor) {
  if (!tensor.is_cpu() || !tensor.is_contiguous()) return tensor.clone();
  at::Tensor copy = at::detail::empty_cpu(tensor.sizes(), tensor.scalar_type());
  std::memcpy(copy.mutable_data_ptr(), tensor.const_data_ptr(), tensor.nbytes());
  return copy;
}

}  // namespace

LayerStatistics::Collector::Collector(const Nets& nets, const LayerStatisticsOptions& options)
    : options_(options), tree_(nets), watched_(tree_.size(), false) {
  std::vector<std::string> names;
  for (const LayerNode& node : tree_.nodes()) {
    if (is_reported_layer(node)) names.push_back(node.name());
  }
  for (const std::string& pattern : options.layers) {
    bool used = false;
    for (size_t i = 0; i < tree_.size(); ++i) {
      if (!is_reported_layer(tree_[i]) || !matches(pattern, tree_[i].name())) continue;
      watched_[i] = used = true;
    }
    if (used) continue;
    const std::string near = nearest(pattern, names);
    throw Error(
        {.what = "a pattern matches no layer",
         .where = "LayerStatisticsOptions::layers, before the first step",
         .got = pattern,
         .expected = "one or more of " + join(names, ", "),
         .todo = near.empty() ? "write one of these, with * for any run of characters" : "did you mean " + near + "?"});
  }
  for (size_t i = 0; i < tree_.size(); ++i) {
    if (!watched_[i]) continue;
    const std::string& path = tree_[i].path;
    for (const auto& [name, tensor] : tree_[i].parameters) {
      if (!numbers_.emplace(tensor.unsafeGetTensorImpl(), parameters_.size()).second) continue;  // shared
      parameters_.push_back({.node = i, .name = path.empty() ? name : path + "." + name, .tensor = tensor});
    }
  }
}

void LayerStatistics::Collector::begin() {
  trace_.reset();
  of_layers_.clear();
  of_functions_.clear();
  for (Tracked& each : parameters_) {
    each.gradients = {};
    each.before.reset();
    each.change.reset();
  }
  scale_ = 1;
  stepped_ = open_ = closed_ = false;
  first_batch_ = nullptr;
}

// ---- activations

void LayerStatistics::Collector::begin_forward(const Trainer& trainer, const Batch* batch, std::string_view optimizer) {
  if (open_) {  // it ran out of memory and begins again, in smaller parts
    begin();
  } else if (first_batch_ != nullptr && batch == first_batch_ && optimizer == first_optimizer_) {
    closed_ = true;
  }
  if (first_batch_ == nullptr) {
    first_batch_ = batch;
    first_optimizer_ = optimizer;
    scale_ = trainer.loss_scale();
  }
  open_ = true;
  if (closed_ || !options_.activations) return;
  std::vector<at::Tensor> held;
  for (const LayerTree::Held& each : tree_.held()) held.push_back(each.tensor);
  trace_.reset();
  seen_.clear();
  dimensions_.clear();
  places_.emplace(std::move(held));
  trace_ = std::make_unique<LayerTrace>(
      *places_, LayerTraceOptions{.on_end = [this](size_t op, const at::Tensor& output) { on_operator(op, output); }});
}

void LayerStatistics::Collector::on_operator(size_t number, const at::Tensor& output) {
  const TracedOperator& op = trace_->operators()[number];
  if (!output.is_floating_point() || output.layout() != at::kStrided || output.numel() == 0) return;
  const int64_t units = unit_dimension(op, output);
  dimensions_[output.unsafeGetTensorImpl()] = units;
  const bool of_parameters = !op.places.empty() && !op.only_places;
  if (of_parameters || gives_activations(op.name)) seen_.emplace(number, look_at(op.name, output, units));
}

/// Channels keep their place until the number of dimensions changes.
int64_t LayerStatistics::Collector::unit_dimension(const TracedOperator& op, const at::Tensor& output) {
  const int64_t last = output.dim() - 1;
  if (last < 1) return last;
  if (const auto spatial = spatial_dimensions(op.name)) return std::max<int64_t>(last - *spatial, 0);
  if (is_among(op.name, std::array<std::string_view, 3>{"batch_norm", "instance_norm", "group_norm"})) return 1;
  if (!op.places.empty() || op.inputs.empty()) return last;
  const auto known = dimensions_.find(op.inputs.front());
  return known != dimensions_.end() && known->second <= last && output.dim() > 2 ? known->second : last;
}

auto LayerStatistics::Collector::look_at(const std::string& op, const at::Tensor& output, int64_t units) const
    -> Activation {
  Activation found;
  const at::Tensor values = output.detach();
  found.sums.add(values);
  found.dead = always_zero(values, units);
  const std::string_view name = without_underscore(op);
  if (name == "tanh") found.saturated = always_away(values, units, 0, options_.saturation);
  if (name == "sigmoid") found.saturated = always_away(values, units, 0.5, options_.saturation / 2);
  return found;
}

void LayerStatistics::Collector::merge(Activation& into, const Activation& more) {
  if (into.sums.empty()) {
    into = more;
    return;
  }
  const auto both = [](at::Tensor& mine, const at::Tensor& theirs) {
    const bool same = mine.defined() && theirs.defined() && mine.sizes() == theirs.sizes();
    mine = same ? mine.logical_and(theirs) : at::Tensor();
  };
  into.sums.merge(more.sums);
  both(into.dead, more.dead);
  both(into.saturated, more.saturated);
  into.sure = into.sure && more.sure;
}

void LayerStatistics::Collector::end_forward() {
  if (trace_ == nullptr) return;
  trace_->stop();
  const LayerMatch match = match_layers(tree_, trace_->operators());
  std::vector<bool> used(trace_->operators().size(), false);
  for (const LayerCall& call : match.calls) {
    const auto seen = seen_.find(call.op);
    used[call.op] = true;
    if (seen == seen_.end() || !watched_[call.layer] || !tree_[call.layer].children.empty()) continue;
    seen->second.sure = call.by != MatchedBy::order;
    merge(of_layers_[call.layer], seen->second);
  }
  add_function_calls(match, used);
  trace_.reset();
  seen_.clear();
}

/// Functions of forward() that no module stands for.
void LayerStatistics::Collector::add_function_calls(const LayerMatch& match, std::vector<bool>& used) {
  const auto& operators = trace_->operators();
  std::unordered_map<const c10::TensorImpl*, size_t> layer_of;  // of results so far
  for (size_t i = 0; i < operators.size(); ++i) {
    const TracedOperator& op = operators[i];
    std::optional<size_t> layer = match.layers[i];
    if (!layer && !op.inputs.empty()) {
      const auto source = layer_of.find(op.inputs.front());
      if (source != layer_of.end()) layer = source->second;
    }
    for (const auto& output : op.outputs) {
      const c10::TensorImpl* tensor = output.tensor._unsafe_get_target();
      if (layer) {
        layer_of[tensor] = *layer;
      } else {
        layer_of.erase(tensor);
      }
    }
    const auto seen = seen_.find(i);
    if (used[i] || !layer || seen == seen_.end() || !is_activation_function(op.name) || !watched_[*layer]) continue;
    auto& functions = of_functions_[*layer];
    const std::string name(without_underscore(op.name));
    const auto known =
        std::find_if(functions.begin(), functions.end(), [&](const auto& each) { return each.first == name; });
    merge(known != functions.end() ? known->second : functions.emplace_back(name, Activation()).second, seen->second);
  }
}

// ---- parameters

void LayerStatistics::Collector::before_step(const Parameters& parameters) {
  const at::NoGradGuard no_grad;
  stepped_ = true;
  for (const Parameter& parameter : parameters) {
    const auto number = numbers_.find(parameter.tensor.unsafeGetTensorImpl());
    if (number == numbers_.end()) continue;
    Tracked& tracked = parameters_[number->second];
    const at::Tensor& gradient = tracked.tensor.grad();
    if (options_.gradients && gradient.defined() && tracked.gradients.empty()) tracked.gradients.add(gradient);
    if (options_.weights) tracked.before = copy_of(tracked.tensor.detach());
  }
}

void LayerStatistics::Collector::after_step(const Parameters& parameters) {
  for (const Parameter& parameter : parameters) {
    const auto number = numbers_.find(parameter.tensor.unsafeGetTensorImpl());
    if (number == numbers_.end()) continue;
    Tracked& tracked = parameters_[number->second];
    if (!tracked.before.defined()) continue;
    tracked.change = norms_of_change(tracked.before, tracked.tensor.detach());
    tracked.before.reset();
  }
}

// ---- the report

ActivationReport LayerStatistics::Collector::report(const std::string& name, const Activation& activation) const {
  ActivationReport made{.name = name, .values = activation.sums.result(), .sure = activation.sure};
  if (activation.dead.defined()) {
    made.units = activation.dead.numel();
    made.dead = count_set(activation.dead);
  }
  if (activation.saturated.defined()) made.saturated = count_set(activation.saturated);
  return made;
}

LayerSnapshot LayerStatistics::Collector::finish() {
  trace_.reset();
  LayerSnapshot snapshot;
  std::map<size_t, LayerReport> layers;
  const auto layer = [&](size_t node) -> LayerReport& {
    LayerReport& made = layers[node];
    made.name = tree_[node].name();
    made.type = tree_[node].type;
    return made;
  };
  double gradients = 0, change = 0, before = 0, units = 0, idle = 0;
  for (Tracked& each : parameters_) {
    if (options_.gradients && !stepped_ && each.tensor.grad().defined()) each.gradients.add(each.tensor.grad());
    ParameterReport made{.name = each.name};
    if (options_.weights) {
      TensorSums sums;
      sums.add(each.tensor.detach());
      made.weights = sums.result();
    }
    if (!each.gradients.empty()) {
      made.gradients = each.gradients.result(scale_);
      gradients += made.gradients->norm * made.gradients->norm;
    }
    if (each.change) {
      change += each.change->change * each.change->change;
      before += each.change->before * each.change->before;
      if (each.change->before > 0) made.update_ratio = each.change->change / each.change->before;
    }
    each.before.reset();
    layer(each.node).parameters.push_back(std::move(made));
  }
  const auto add = [&](size_t node, const std::string& name, const Activation& activation) {
    const ActivationReport& made = layer(node).activations.emplace_back(report(name, activation));
    units += static_cast<double>(made.units);
    idle += static_cast<double>(made.dead + made.saturated);
  };
  for (const auto& [node, activation] : of_layers_) add(node, tree_[node].name(), activation);
  for (const auto& [node, functions] : of_functions_) {
    for (const auto& [function, activation] : functions) add(node, tree_[node].name() + ":" + function, activation);
  }
  for (auto& [node, made] : layers) snapshot.layers.push_back(std::move(made));
  snapshot.gradient_norm = std::sqrt(gradients);
  snapshot.update_ratio = before > 0 ? std::sqrt(change / before) : 0;
  snapshot.dead_units = units > 0 ? idle / units : 0;
  return snapshot;
}

}  // namespace athanor
