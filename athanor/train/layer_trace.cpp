// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/layer_trace.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/train/operator_tensors.hpp"

namespace athanor {
namespace {

/// LibTorch calls plain functions, so each of the traces that may run beside each other has functions of its own.
constexpr size_t most_traces = 2;
thread_local std::array<LayerTrace::Implementation*, most_traces> running_traces{};
thread_local bool traces_pause = false;

/// An operator that is running.
struct TracedFrame : at::ObserverContext {
  bool outermost = false;
  bool counted = false;
  std::vector<c10::IValue> inputs;
};

std::string_view without_namespace(std::string_view op) {
  if (op.starts_with("aten::")) op.remove_prefix(6);
  return op;
}

/// Autograd's engine around each node, and around what accumulates gradients.
bool runs_a_backward_node(std::string_view name) { return name.starts_with("autograd::engine::"); }

bool may_write_inputs(std::string_view name, std::string_view overload) {
  const bool in_place = name.ends_with('_') && !name.ends_with("__");
  return in_place || overload.find("out") != std::string_view::npos ||
         name.find("batch_norm") != std::string_view::npos;
}

}  // namespace

int64_t TracedOperator::Output::bytes() const {
  int64_t numbers = 1;
  for (const int64_t size : shape) numbers *= size;
  return numbers * static_cast<int64_t>(c10::elementSize(dtype));
}

struct LayerTrace::Implementation {
  ParameterPlaces& places;
  LayerTraceOptions options;
  std::vector<TracedOperator> operators = {};
  int depth = 0;
  bool counting = false;
  std::map<size_t, at::Tensor> written = {};  // as they were
  int backward_depth = 0;
  size_t slot = 0;

  std::unique_ptr<TracedFrame> begin(const at::RecordFunction& function);
  void end(const at::RecordFunction& function, const TracedFrame* frame);
  void begin_outermost(const at::RecordFunction& function, std::string_view name);
  void keep(const at::RecordFunction& function);
};

std::unique_ptr<TracedFrame> LayerTrace::Implementation::begin(const at::RecordFunction& function) {
  if (traces_pause) return nullptr;
  const Pause unseen;  // of LibTorch's own guard each use costs a microsecond
  const std::string_view name = without_namespace(function.name());
  if (runs_a_backward_node(name)) ++backward_depth;
  if (backward_depth > 0) return nullptr;
  const bool outermost = depth++ == 0;
  if (options.keep_written && may_write_inputs(name, function.overload_name())) keep(function);
  const bool counted = !counting && options.counter.counts != nullptr && options.counter.counts(name);
  if (!outermost && !counted) return nullptr;
  auto frame = std::make_unique<TracedFrame>();
  frame->outermost = outermost;
  frame->counted = counted;
  if (counted) {
    counting = true;
    const auto inputs = function.inputs();
    frame->inputs.assign(inputs.begin(), inputs.end());
  }
  if (outermost) begin_outermost(function, name);
  return frame;
}

void LayerTrace::Implementation::begin_outermost(const at::RecordFunction& function, std::string_view name) {
  if (!operators.empty()) operators.back().input_forms.clear();
  TracedOperator& op = operators.emplace_back();
  op.name = name;
  size_t held = 0, tensors = 0;
  for (const c10::IValue& input : function.inputs()) {
    each_tensor(input, [&](const at::Tensor& tensor) {
      if (!tensor.defined()) return;
      ++tensors;
      op.inputs.push_back(tensor.unsafeGetTensorImpl());
      if (options.describe_inputs) op.input_forms.push_back(describe(tensor));
      const auto place = places.find(tensor);
      if (!place) return;
      ++held;
      if (std::find(op.places.begin(), op.places.end(), *place) == op.places.end()) op.places.push_back(*place);
    });
  }
  op.only_places = held > 0 && held == tensors;
}

void LayerTrace::Implementation::keep(const at::RecordFunction& function) {
  const at::NoGradGuard no_grad;
  for (const c10::IValue& input : function.inputs()) {
    each_tensor(input, [&](const at::Tensor& tensor) {
      const auto place = places.find(tensor);
      if (!place || written.contains(*place)) return;
      const at::Tensor& whole = places.tensors()[*place];
      if (memory_of(whole).first != 0) written.emplace(*place, whole.detach().clone());
    });
  }
}

void LayerTrace::Implementation::end(const at::RecordFunction& function, const TracedFrame* frame) {
  if (traces_pause) return;
  if (backward_depth > 0) {
    if (runs_a_backward_node(function.name())) --backward_depth;
    return;
  }
  depth = std::max(depth - 1, 0);
  if (frame == nullptr) return;
  const Pause unseen;
  if (frame->counted) counting = false;
  TracedOperator& op = operators.back();
  const auto& outputs = function.outputs();
  const bool finished = !outputs.empty() || function.num_outputs() == 0;
  at::Tensor first;
  if (finished) {
    for (const c10::IValue& output : outputs) {
      each_tensor(output, [&](const at::Tensor& tensor) {
        if (!tensor.defined()) return;
        if (!first.defined()) first = tensor;
        if (!frame->outermost) return;
        op.outputs.push_back({.tensor = c10::weak_intrusive_ptr<c10::TensorImpl>(tensor.getIntrusivePtr()),
                              .shape = tensor.sizes().vec(),
                              .dtype = tensor.scalar_type()});
      });
    }
  }
  if (frame->counted && finished) {
    op.multiply_adds += options.counter.count(without_namespace(function.name()), frame->inputs, first);
  }
  if (!frame->outermost) return;
  op.finished = finished;
  if (finished && op.only_places && first.defined()) places.derive(first, op.places.front());
  if (finished && options.on_end && first.defined()) options.on_end(operators.size() - 1, first);
}

namespace {

template <size_t slot>
at::RecordFunctionCallback callback_of() {
  static_assert(slot < most_traces);
  return at::RecordFunctionCallback(
      [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
        return running_traces[slot] != nullptr ? running_traces[slot]->begin(function) : nullptr;
      },
      [](const at::RecordFunction& function, at::ObserverContext* context) {
        if (running_traces[slot] != nullptr) running_traces[slot]->end(function, static_cast<TracedFrame*>(context));
      });
}

}  // namespace

LayerTrace::LayerTrace(ParameterPlaces& places, LayerTraceOptions options)
    : implementation_(new Implementation{.places = places, .options = std::move(options)}) {
  const auto free = std::find(running_traces.begin(), running_traces.end(), nullptr);
  if (free == running_traces.end()) {
    throw Error({.what = "the operators of this thread are being recorded already",
                 .where = "LayerTrace",
                 .expected = "two at a time on a thread at most"});
  }
  *free = implementation_.get();
  implementation_->slot = static_cast<size_t>(free - running_traces.begin());
  handle_ = at::addThreadLocalCallback((implementation_->slot == 0 ? callback_of<0>() : callback_of<1>())
                                           .needsInputs(true)
                                           .needsOutputs(true)
                                           .scopes({at::RecordScope::FUNCTION}));
}

LayerTrace::~LayerTrace() { stop(); }

const std::vector<TracedOperator>& LayerTrace::operators() const noexcept { return implementation_->operators; }

void LayerTrace::stop() {
  LayerTrace::Implementation*& running = running_traces[implementation_->slot];
  if (running != implementation_.get()) return;
  at::removeCallback(handle_);
  running = nullptr;
}

LayerTrace::Pause::Pause() : before_(std::exchange(traces_pause, true)) {}
LayerTrace::Pause::~Pause() { traces_pause = before_; }

void LayerTrace::restore() {
  stop();
  const at::NoGradGuard no_grad;
  for (const auto& [place, before] : implementation_->written) {
    const at::Tensor& tensor = implementation_->places.tensors()[place];
    if (tensor.sizes() == before.sizes()) tensor.variable_data().copy_(before);
  }
}

}  // namespace athanor
