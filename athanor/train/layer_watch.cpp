// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/layer_watch.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/function.h>
#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <mutex>

#include "athanor/core/error.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/train/operator_tensors.hpp"
#include "athanor/train/parameter_places.hpp"

namespace athanor {
namespace {

using Finding = LayerWatch::Finding;
using Phase = LayerWatch::Stage;

/// The non-finite numbers of a tensor.
struct Content {
  int64_t non_finite = 0;
  bool only_minus_infinity = false;
};

bool holds_numbers(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.layout() != at::kStrided || tensor.is_meta() || tensor.numel() == 0) return false;
  switch (tensor.scalar_type()) {
    case at::kHalf:
    case at::kBFloat16:
    case at::kFloat:
    case at::kDouble:
    case at::kComplexFloat:
    case at::kComplexDouble:
      return true;
    default:
      return false;
  }
}

Content content_of(const at::Tensor& tensor) {
  if (!holds_numbers(tensor)) return {};
  const at::DisableRecordFunctionGuard unseen;
  const at::NoGradGuard no_grad;
  const at::Tensor finite = at::isfinite(tensor);
  if (finite.all().item<bool>()) return {};
  const int64_t non_finite = tensor.numel() - finite.sum().item<int64_t>();
  const bool minus = !tensor.is_complex() && at::isneginf(tensor).sum().item<int64_t>() == non_finite;
  return {non_finite, minus};
}

const c10::StorageImpl* storage_of(const at::Tensor& tensor) {
  return tensor.defined() && tensor.has_storage() ? tensor.storage().unsafeGetStorageImpl() : nullptr;
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool gives_uninitialised(std::string_view op) {
  return op.starts_with("aten::empty") || op.starts_with("aten::new_empty") || op.starts_with("aten::resize") ||
         op == "aten::set_";
}

/// In-place operators whose first input is only a place to write to.
bool overwrites(std::string_view op) {
  return is_one_of(op,
                   {"aten::zero_", "aten::fill_", "aten::copy_", "aten::uniform_", "aten::normal_", "aten::bernoulli_",
                    "aten::random_", "aten::exponential_", "aten::cauchy_", "aten::log_normal_", "aten::geometric_"});
}

}  // namespace

// Named, because the members of LayerWatch are of these types.
namespace layer_watch {

struct Label {
  std::string layer;
  std::string parameter;
};

/// An operator or a node of backward that is running on this thread.
struct Frame : at::ObserverContext {
  Frame* outer = nullptr;
  bool is_node = false;
  std::string name;
  Label label;
  bool writes_into_input = false;
  bool may_give_infinity = false;
  bool inputs_finite = true;
  bool all_inputs_of_layer = false;
  size_t place = 0;  // of the parameter that it reads, when all inputs belong to the layer
  std::vector<const c10::StorageImpl*> inputs;
  std::string after_node;  // the node that the engine ran last, outside of which this operator runs
  const void* node = nullptr;
  std::vector<std::pair<const void*, uint32_t>> next;
  std::optional<LayerWatch::Finding> candidate;
};

}  // namespace layer_watch

namespace {

using layer_watch::Frame;
using layer_watch::Label;

thread_local Frame* innermost = nullptr;
std::atomic<LayerWatch::Implementation*> active = nullptr;

}  // namespace

struct LayerWatch::Implementation {
  std::unique_ptr<Frame> begin(const at::RecordFunction& function);
  void end(const at::RecordFunction& function, Frame& frame);

  void look_at_parameters();
  void begin_operator(const at::RecordFunction& function, Frame& frame);
  void begin_node(const at::RecordFunction& function, Frame& frame);
  void end_operator(const at::RecordFunction& function, Frame& frame);
  void find(Finding finding);

  std::atomic<bool> found = false;
  mutable std::mutex mutex;  // of the finding
  std::optional<Finding> finding;

  std::mutex working;  // of all below: backward has a thread for each device
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  std::optional<ParameterPlaces> places;
  std::map<int64_t, Label> labels;  // of forward operators, by autograd's sequence number
  Label last_forward;
  Label last_backward;
  /// Finished nodes that held a candidate, and where their gradients go.
  std::vector<std::pair<Finding, std::vector<std::pair<const void*, uint32_t>>>> candidates;
};

namespace {

std::string layer_of(const std::string& parameter) {
  const size_t dot = parameter.rfind('.');
  return dot == std::string::npos ? "" : parameter.substr(0, dot);
}

void fill_in(Finding& finding, const at::Tensor& tensor, int64_t non_finite) {
  finding.tensor = describe(tensor);
  finding.shape = tensor.sizes().vec();
  finding.non_finite = non_finite;
  finding.numbers = tensor.numel();
}

std::unique_ptr<at::ObserverContext> on_begin(const at::RecordFunction& function) {
  LayerWatch::Implementation* watch = active.load();
  if (watch == nullptr || watch->found) return nullptr;
  return watch->begin(function);
}

void on_end(const at::RecordFunction& function, at::ObserverContext* context) {
  if (context == nullptr) return;
  auto& frame = static_cast<Frame&>(*context);
  innermost = frame.outer;
  LayerWatch::Implementation* watch = active.load();
  if (watch != nullptr && !watch->found) watch->end(function, frame);
}

}  // namespace

void LayerWatch::Implementation::find(Finding what) {
  const std::lock_guard lock(mutex);
  if (found) return;
  finding = std::move(what);
  found = true;
}

void LayerWatch::Implementation::look_at_parameters() {
  for (const auto& [name, tensor] : parameters) {
    const Content content = content_of(tensor);
    if (content.non_finite == 0) continue;
    Finding what{.stage = Phase::before, .layer = layer_of(name), .parameter = name};
    fill_in(what, tensor, content.non_finite);
    return find(std::move(what));
  }
}

std::unique_ptr<Frame> LayerWatch::Implementation::begin(const at::RecordFunction& function) {
  auto frame = std::make_unique<Frame>();
  frame->name = function.name();
  frame->is_node = function.scope() == at::RecordScope::BACKWARD_FUNCTION;
  frame->outer = innermost;
  const std::lock_guard lock(working);
  if (frame->is_node) {
    begin_node(function, *frame);
  } else {
    begin_operator(function, *frame);
  }
  innermost = frame.get();
  return frame;
}

void LayerWatch::Implementation::begin_operator(const at::RecordFunction& function, Frame& frame) {
  const std::string_view overload = function.overload_name();
  const bool is_out = overload.find("out") != std::string_view::npos;
  const bool in_place = frame.name.ends_with('_') && !frame.name.ends_with("__");
  frame.writes_into_input = is_out || in_place;
  if (frame.outer == nullptr) {
    // The engine runs operators between two nodes too: sums of gradients, hooks.
    if (const auto node = torch::autograd::get_current_node()) frame.after_node = node->name();
    if (frame.after_node.empty()) candidates.clear();
  }

  std::vector<at::Tensor> tensors;
  for (const c10::IValue& input : function.inputs()) {
    each_tensor(input, [&](const at::Tensor& tensor) { tensors.push_back(tensor); });
    if (input.isDouble() && !std::isfinite(input.toDouble())) frame.may_give_infinity = true;
  }
  std::optional<Label> label;
  size_t labelled = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (const auto place = places->find(tensors[i])) {
      const std::string& parameter = parameters[*place].first;
      const std::string layer = layer_of(parameter);
      if (!label || label->layer == layer) ++labelled;
      if (!label) {
        label = Label{layer, parameter};
        frame.place = *place;
      }
    }
    frame.inputs.push_back(storage_of(tensors[i]));
    if ((is_out && i + 1 == tensors.size()) || (overwrites(frame.name) && i == 0)) continue;
    const Content content = content_of(tensors[i]);
    if (content.non_finite == 0) continue;
    frame.inputs_finite = false;
    if (content.only_minus_infinity) frame.may_give_infinity = true;
  }
  frame.all_inputs_of_layer = !tensors.empty() && labelled == tensors.size();
  if (label) {
    frame.label = *label;
  } else if (frame.outer != nullptr) {
    frame.label = frame.outer->label;
  } else if (!frame.after_node.empty()) {
    frame.label = last_backward;
  } else {
    frame.label = {last_forward.layer, ""};
  }
  constexpr size_t most_labels = size_t{1} << 20;
  if (function.seqNr() >= 0) labels[function.seqNr()] = frame.label;
  if (labels.size() > most_labels) labels.erase(labels.begin());
}

void LayerWatch::Implementation::begin_node(const at::RecordFunction& function, Frame& frame) {
  const auto label = labels.upper_bound(function.seqNr());
  const bool accumulates = function.seqNr() < 0;
  frame.label = accumulates || label == labels.begin() ? last_backward : std::prev(label)->second;
  last_backward = frame.label;
  if (const auto node = torch::autograd::get_current_node()) {
    frame.node = node.get();
    for (const auto& edge : node->next_edges()) frame.next.emplace_back(edge.function.get(), edge.input_nr);
  }
  uint32_t number = 0;
  for (const c10::IValue& input : function.inputs()) {
    each_tensor(input, [&](const at::Tensor& tensor) {
      const Content content = content_of(tensor);
      if (content.non_finite == 0 || found) return;
      const std::pair<const void*, uint32_t> here(frame.node, number);
      for (const auto& [candidate, next] : candidates) {
        if (std::find(next.begin(), next.end(), here) != next.end()) return find(candidate);
      }
      Finding what{.stage = Phase::backward,
                   .within = frame.name,
                   .layer = frame.label.layer,
                   .parameter = frame.label.parameter,
                   .inputs_finite = false};
      fill_in(what, tensor, content.non_finite);
      find(std::move(what));
    });
    ++number;
  }
}

void LayerWatch::Implementation::end(const at::RecordFunction& function, Frame& frame) {
  const std::lock_guard lock(working);
  if (!frame.is_node) return end_operator(function, frame);
  if (frame.candidate) candidates.emplace_back(std::move(*frame.candidate), std::move(frame.next));
}

void LayerWatch::Implementation::end_operator(const at::RecordFunction& function, Frame& frame) {
  if (gives_uninitialised(frame.name)) return;
  const Frame* program = &frame;  // the operator that the program or the node called
  while (program->outer != nullptr && !program->outer->is_node) program = program->outer;
  const std::string& node = program->outer != nullptr ? program->outer->name : program->after_node;

  std::vector<at::Tensor> outputs;
  for (const c10::IValue& output : function.outputs()) {
    each_tensor(output, [&](const at::Tensor& tensor) { outputs.push_back(tensor); });
  }
  // The other outputs of attention kernels are scratch memory.
  if (frame.name.find("dot_product") != std::string::npos && outputs.size() > 1) outputs.resize(1);

  bool finite = true;
  for (const at::Tensor& output : outputs) {
    const c10::StorageImpl* storage = storage_of(output);
    const bool is_view = std::find(frame.inputs.begin(), frame.inputs.end(), storage) != frame.inputs.end();
    if (frame.all_inputs_of_layer && !is_view && storage != nullptr) {
      places->derive(output, frame.place);
    }
    if (is_view && !frame.writes_into_input) continue;  // of an input that was looked at, or is uninitialised
    const Content content = content_of(output);
    if (content.non_finite == 0) continue;
    if (frame.may_give_infinity && content.only_minus_infinity) continue;
    finite = false;
    if (frame.candidate) break;
    Finding what{.stage = node.empty() ? Phase::forward : Phase::backward,
                 .op = frame.name,
                 .within = !node.empty()       ? node
                           : program != &frame ? program->name
                                               : "",
                 .layer = frame.label.layer,
                 .parameter = frame.label.parameter,
                 .inputs_finite = frame.inputs_finite};
    fill_in(what, output, content.non_finite);
    frame.candidate = std::move(what);
    break;
  }
  if (node.empty() && !frame.label.parameter.empty()) last_forward = frame.label;
  if (finite || !frame.candidate) return;
  if (frame.outer == nullptr) {
    // A sum of gradients of which one was not finite: whoever receives it knows where that came from.
    if (frame.after_node.empty() || frame.candidate->inputs_finite) find(std::move(*frame.candidate));
  } else if (!frame.outer->candidate) {
    frame.outer->candidate = std::move(frame.candidate);
  }
}

LayerWatch::LayerWatch(std::vector<std::pair<std::string, at::Tensor>> named_parameters)
    : implementation_(std::make_unique<Implementation>()) {
  implementation_->parameters = std::move(named_parameters);
  Implementation* none = nullptr;
  if (!active.compare_exchange_strong(none, implementation_.get())) {
    throw Error({.what = "another LayerWatch lives",
                 .expected = "one in a process at a time",
                 .todo = "let it go out of scope before the next is made"});
  }
  try {
    std::vector<at::Tensor> tensors;
    for (const auto& [name, tensor] : implementation_->parameters) tensors.push_back(tensor);
    implementation_->places.emplace(std::move(tensors));
    implementation_->look_at_parameters();
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(on_begin, on_end)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  } catch (...) {
    active = nullptr;
    throw;
  }
}

LayerWatch::~LayerWatch() {
  at::removeCallback(handle_);
  active = nullptr;
}

std::optional<LayerWatch::Finding> LayerWatch::finding() const {
  const std::lock_guard lock(implementation_->mutex);
  return implementation_->finding;
}

std::string LayerWatch::describe() const {
  const auto what = finding();
  if (!what) return "every operator gave finite numbers";
  const std::string count = std::to_string(what->non_finite) + " non-finite number" +
                            (what->non_finite == 1 ? "" : "s") + " of " + std::to_string(what->numbers);
  const std::string in_layer = what->layer.empty() ? "the net itself" : "layer '" + what->layer + "'";
  if (what->stage == Phase::before) {
    return "'" + what->parameter + "' of " + in_layer + " holds " + count + " before any operator ran: " + what->tensor;
  }
  std::string text;
  if (what->op.empty()) {
    text = what->within + " was given " + count;
  } else {
    text = what->op + (what->within.empty() ? "" : " (in " + what->within + ")") + " gave " + count;
  }
  text += what->stage == Phase::backward ? " in backward, " : " in forward, ";
  if (!what->parameter.empty()) {
    text += "in " + in_layer + " (" + what->parameter + ")";
  } else {
    text += what->layer.empty() ? "before the first layer" : "after " + in_layer;
  }
  text += ": " + what->tensor;
  if (what->op.empty()) return text;
  return text + (what->inputs_finite ? ", from finite inputs" : ", from inputs that were not finite");
}

}  // namespace athanor
