// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/span_recorder.hpp"

#include <ATen/record_function.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>

#include "athanor/core/error.hpp"
#include "athanor/train/operator_tensors.hpp"

namespace athanor {
namespace {

using SpanKind = ProfileSpan::Kind;

// Spans of ours are told from those of the program by their names, which others don't see.
constexpr std::string_view step_prefix = "athanor step:";
constexpr std::string_view phase_prefix = "athanor phase:";

std::atomic<SpanRecorder::Implementation*> recording = nullptr;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string shapes_of(c10::ArrayRef<const c10::IValue> inputs) {
  std::string text;
  for (const c10::IValue& input : inputs) {
    each_tensor(input, [&](const at::Tensor& tensor) {
      if (!tensor.defined()) return;
      text += text.empty() ? "(" : " (";
      for (int64_t i = 0; i < tensor.dim(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(tensor.size(i));
      text += ")";
    });
  }
  return text;
}

void set_kind_and_name(ProfileSpan& span, std::string_view name, at::RecordScope scope) {
  span.kind = scope == at::RecordScope::BACKWARD_FUNCTION ? SpanKind::node
              : scope == at::RecordScope::USER_SCOPE      ? SpanKind::mark
                                                          : SpanKind::op;
  if (name.starts_with(step_prefix)) {
    span.kind = SpanKind::step;
    name.remove_prefix(step_prefix.size());
  } else if (name.starts_with(phase_prefix)) {
    span.kind = SpanKind::phase;
    name.remove_prefix(phase_prefix.size());
  }
  span.name = name;
}

struct RunningSpan : at::ObserverContext {
  int64_t begin_ns = 0;
  std::string shapes;
};

}  // namespace

struct SpanRecorder::Implementation {
  explicit Implementation(Options chosen) : options(chosen) {}

  void begin_operators();
  void begin_kineto();
  std::vector<ProfileSpan> end_operators();
  std::vector<ProfileSpan> end_kineto();
  void end(const at::RecordFunction& function, const RunningSpan& span);

  Options options;
  bool kineto = false;
  bool running = false;
  int64_t origin_ns = 0;
  at::CallbackHandle handle = at::INVALID_CALLBACK_HANDLE;
  std::vector<std::unique_ptr<at::RecordFunction>> open;
  std::mutex mutex;  // of the spans: backward has a thread for each device
  std::vector<ProfileSpan> spans;
};

namespace {

template <bool shapes>
std::unique_ptr<at::ObserverContext> span_begins(const at::RecordFunction& function) {
  auto span = std::make_unique<RunningSpan>();
  if constexpr (shapes) span->shapes = shapes_of(function.inputs());
  span->begin_ns = now_ns();
  return span;
}

void span_ends(const at::RecordFunction& function, at::ObserverContext* context) {
  SpanRecorder::Implementation* recorder = recording.load(std::memory_order_acquire);
  if (recorder != nullptr && context != nullptr) recorder->end(function, static_cast<RunningSpan&>(*context));
}

}  // namespace

void SpanRecorder::Implementation::end(const at::RecordFunction& function, const RunningSpan& span) {
  ProfileSpan made{.shapes = span.shapes,
                   .thread = at::RecordFunction::currentThreadId(),
                   .begin_ns = span.begin_ns - origin_ns,
                   .end_ns = now_ns() - origin_ns,
                   .sequence = function.seqNr()};
  set_kind_and_name(made, function.name(), function.scope());
  const std::lock_guard lock(mutex);
  spans.push_back(std::move(made));
}

void SpanRecorder::Implementation::begin_operators() {
  origin_ns = now_ns();
  const auto begins = options.shapes ? &span_begins<true> : &span_begins<false>;
  handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(begins, &span_ends)
          .needsInputs(options.shapes)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE}));
}

std::vector<ProfileSpan> SpanRecorder::Implementation::end_operators() {
  at::removeCallback(handle);
  const std::lock_guard lock(mutex);
  return std::move(spans);
}

void SpanRecorder::Implementation::begin_kineto() {
  using torch::profiler::impl::ActivityType;
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO, options.shapes);
  std::set<ActivityType> activities{ActivityType::CPU};
  if (options.device.type() == c10::DeviceType::CUDA) activities.insert(ActivityType::CUDA);
  if (options.device.type() == c10::DeviceType::XPU) activities.insert(ActivityType::XPU);
  try {
    torch::autograd::profiler::prepareProfiler(config, activities);
    torch::autograd::profiler::enableProfiler(
        config, activities,
        {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE});
  } catch (const c10::Error& error) {
    throw Error({.what = "LibTorch's profiler can't begin",
                 .where = "SpanRecorder",
                 .got = error.what_without_backtrace(),
                 .expected = "a process in which no other profiler is at work",
                 .todo = "take ProfileSource::operators"});
  }
}

std::vector<ProfileSpan> SpanRecorder::Implementation::end_kineto() {
  const auto result = torch::autograd::profiler::disableProfiler();
  std::vector<ProfileSpan> found;
  if (result == nullptr) return found;
  int64_t first = INT64_MAX;
  for (const auto& event : result->events()) {
    if (event.endNs() < event.startNs() || event.isHiddenEvent()) continue;
    ProfileSpan span{.thread = event.startThreadId(),
                     .begin_ns = static_cast<int64_t>(event.startNs()),
                     .end_ns = static_cast<int64_t>(event.endNs()),
                     .sequence = event.sequenceNr()};
    if (event.deviceType() == c10::DeviceType::CPU) {
      set_kind_and_name(span, event.name(), static_cast<at::RecordScope>(event.scope()));
    } else {
      span.kind = SpanKind::device;
      span.name = event.name();
      span.thread = static_cast<uint64_t>(event.deviceResourceId());
    }
    if (event.hasShapes()) {
      for (const auto& shape : event.shapes()) {
        if (shape.empty()) continue;
        span.shapes += span.shapes.empty() ? "(" : " (";
        for (size_t i = 0; i < shape.size(); ++i) span.shapes += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
        span.shapes += ")";
      }
    }
    first = std::min(first, span.begin_ns);
    found.push_back(std::move(span));
  }
  for (ProfileSpan& span : found) {
    span.begin_ns -= first;
    span.end_ns -= first;
  }
  return found;
}

SpanRecorder::SpanRecorder(Options options) : implementation_(std::make_unique<Implementation>(options)) {
  Implementation* none = nullptr;
  if (!recording.compare_exchange_strong(none, implementation_.get())) {
    throw Error({.what = "another profile is being recorded",
                 .where = "SpanRecorder",
                 .expected = "one in a process at a time",
                 .todo = "let it end before the next begins"});
  }
  implementation_->kineto = options.source == ProfileSource::kineto ||
                            (options.source == ProfileSource::automatic && !options.device.is_cpu());
  try {
    implementation_->kineto ? implementation_->begin_kineto() : implementation_->begin_operators();
  } catch (...) {
    recording = nullptr;
    throw;
  }
  implementation_->running = true;
}

SpanRecorder::~SpanRecorder() {
  if (implementation_->running) static_cast<void>(finish());
}

void SpanRecorder::open(ProfileSpan::Kind kind, std::string name) {
  const std::string_view prefix = kind == SpanKind::step ? step_prefix : phase_prefix;
  auto function = std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE);
  if (function->isActive()) function->before(std::string(prefix) + name, -1);
  implementation_->open.push_back(std::move(function));
}

void SpanRecorder::close() {
  if (implementation_->open.empty()) return;
  implementation_->open.back()->end();
  implementation_->open.pop_back();
}

size_t SpanRecorder::depth() const noexcept { return implementation_->open.size(); }

std::vector<ProfileSpan> SpanRecorder::finish() {
  while (!implementation_->open.empty()) close();
  const c10::Device device = implementation_->options.device;
  if (!device.is_cpu()) {
    if (const auto* guard = c10::impl::getDeviceGuardImpl(device.type())) {
      guard->synchronizeDevice(std::max<c10::DeviceIndex>(device.index(), 0));
    }
  }
  implementation_->running = false;
  auto spans = implementation_->kineto ? implementation_->end_kineto() : implementation_->end_operators();
  recording = nullptr;
  return spans;
}

}  // namespace athanor
