// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/activation_checkpoint.hpp"

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <mutex>
#include <unordered_set>

#include "athanor/core/error.hpp"

namespace athanor::detail {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct AutocastState {
  std::vector<at::DeviceType> devices;
  std::vector<std::pair<bool, at::ScalarType>> settings;
  bool cache = true;

  explicit AutocastState(at::DeviceType device) : devices{at::kCPU}, cache(at::autocast::is_autocast_cache_enabled()) {
    if (device != at::kCPU) devices.push_back(device);
    for (const at::DeviceType each : devices) {
      settings.emplace_back(at::autocast::is_autocast_enabled(each), at::autocast::get_autocast_dtype(each));
    }
  }
  void apply(bool with_cache) const {
    for (size_t i = 0; i < devices.size(); ++i) {
      at::autocast::set_autocast_enabled(devices[i], settings[i].first);
      at::autocast::set_autocast_dtype(devices[i], settings[i].second);
    }
    at::autocast::set_autocast_cache_enabled(with_cache);
  }
};

/// Autocast as it was at another time. Without its cache: what the first run casts has no gradient.
class AutocastGuard {
 public:
  AutocastGuard(const AutocastState& state, at::DeviceType device) : before_(device) { state.apply(false); }
  ~AutocastGuard() { before_.apply(before_.cache); }
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  AutocastState before_;
};

/// The states of the generators that layers on a device draw from.
struct GeneratorStates {
  std::vector<at::Generator> generators;
  std::vector<at::Tensor> states;

  GeneratorStates() = default;
  explicit GeneratorStates(at::Device device) {
    generators.push_back(at::globalContext().defaultGenerator(at::kCPU));
    if (device.is_cuda()) generators.push_back(at::globalContext().defaultGenerator(device));
    states = read();
  }
  [[nodiscard]] std::vector<at::Tensor> read() const {
    std::vector<at::Tensor> result;
    for (at::Generator generator : generators) {
      const std::lock_guard<std::mutex> lock(generator.mutex());
      result.push_back(generator.get_state());
    }
    return result;
  }
  void write() {
    for (size_t i = 0; i < generators.size(); ++i) {
      const std::lock_guard<std::mutex> lock(generators[i].mutex());
      generators[i].set_state(states[i]);
    }
  }
  /// Nothing was drawn since: there is nothing to draw again.
  void forget_if_unchanged() {
    const std::vector<at::Tensor> now = read();
    for (size_t i = 0; i < now.size(); ++i) {
      if (!at::equal(now[i], states[i])) return;
    }
    *this = GeneratorStates();
  }
};

class GeneratorGuard {
 public:
  GeneratorGuard(GeneratorStates& states, at::Device device) {
    if (states.generators.empty()) return;
    before_ = GeneratorStates(device);
    states.write();
  }
  ~GeneratorGuard() { before_.write(); }
  GeneratorGuard(const GeneratorGuard&) = delete;
  GeneratorGuard& operator=(const GeneratorGuard&) = delete;

 private:
  GeneratorStates before_;
};

struct BufferCopy {
  at::Tensor buffer;
  at::Tensor before;
};

/// Writes without telling autograd: whatever was saved of the buffer is valid again when the guard ends.
void write(const at::Tensor& buffer, const at::Tensor& content) {
  const at::NoGradGuard no_grad;
  buffer.variable_data().copy_(content);
}

class BufferGuard {
 public:
  explicit BufferGuard(const std::vector<BufferCopy>& copies) {
    for (const BufferCopy& copy : copies) {
      present_.push_back({copy.buffer, copy.buffer.detach().clone()});
      write(copy.buffer, copy.before);
    }
  }
  ~BufferGuard() {
    for (const BufferCopy& copy : present_) write(copy.buffer, copy.before);
  }
  BufferGuard(const BufferGuard&) = delete;
  BufferGuard& operator=(const BufferGuard&) = delete;

 private:
  std::vector<BufferCopy> present_;
};

at::Tensor run(const CheckpointedSegment& segment, at::Tensor value) {
  for (const CheckpointedLayer& layer : segment) value = layer.forward(value);
  return value;
}

/// What the second run needs to be the first one again.
struct FirstRun : torch::CustomClassHolder {
  FirstRun(std::shared_ptr<const CheckpointedSegment> segment, at::Device device)
      : segment(std::move(segment)), autocast(device.type()), generators(device) {
    for (const CheckpointedLayer& layer : *this->segment) {
      for (const at::Tensor& buffer : layer.module->buffers()) {
        if (buffer.defined()) buffers.push_back({buffer, buffer.detach().clone()});
      }
    }
  }

  void forget_what_did_not_change() {
    generators.forget_if_unchanged();
    // On another device the comparison would wait for it.
    std::erase_if(buffers,
                  [](const BufferCopy& copy) { return copy.buffer.is_cpu() && at::equal(copy.buffer, copy.before); });
  }

  std::shared_ptr<const CheckpointedSegment> segment;
  AutocastState autocast;
  GeneratorStates generators;
  std::vector<BufferCopy> buffers;
};

class Segment : public torch::autograd::Function<Segment> {
 public:
  /// `tensors`: the input, then the parameters that have gradients.
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<FirstRun>& first,
                            at::TensorList tensors) {
    const at::Tensor& input = tensors[0];
    const auto version = input._version();
    at::Tensor output;
    {
      const AutocastGuard autocast(first->autocast, input.device().type());
      output = run(*first->segment, input);
    }
    if (input._version() != version) {
      throw Error({.what = "a layer writes into the input of a checkpointed segment, which is needed again in backward",
                   .where = "the layers that begin with a " + first->segment->front().module->name(),
                   .todo = "make the layer without inplace, or divide into other segments"});
    }
    first->forget_what_did_not_change();
    context->save_for_backward(tensors.vec());
    context->saved_data["first"] = c10::IValue::make_capsule(first);
    context->set_materialize_grads(false);
    return output;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    if (at::GradMode::is_enabled()) {
      throw Error({.what = "the gradient of a checkpointed part can't be differentiated again",
                   .where = "backward with create_graph",
                   .todo = "use the torch::nn::Sequential itself where second derivatives are needed"});
    }
    const variable_list saved = context->get_saved_variables();
    variable_list result(1 + saved.size());  // the first argument is no tensor
    if (!gradients[0].defined()) return result;
    const auto capsule = context->saved_data["first"].toCapsule();
    auto& first = static_cast<FirstRun&>(*capsule);

    at::Tensor input = saved[0].detach();
    input.set_requires_grad(saved[0].requires_grad());
    const GeneratorGuard generators(first.generators, input.device());
    const BufferGuard buffers(first.buffers);
    at::Tensor output;
    {
      const AutocastGuard autocast(first.autocast, input.device().type());
      const at::AutoGradMode with_gradients(true);
      output = run(*first.segment, input);
    }
    if (!output.requires_grad()) return result;

    variable_list wanted;
    std::vector<size_t> places;
    for (size_t i = 0; i < saved.size(); ++i) {
      const at::Tensor& each = i == 0 ? input : saved[i];
      if (!each.requires_grad()) continue;
      wanted.push_back(each);
      places.push_back(1 + i);
    }
    const variable_list found = torch::autograd::grad({output}, wanted, {gradients[0]}, /*retain_graph=*/false,
                                                      /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0; i < found.size(); ++i) result[places[i]] = found[i];
    return result;
  }
};

std::vector<at::Tensor> parameters_of(const CheckpointedSegment& segment) {
  std::vector<at::Tensor> parameters;
  std::unordered_set<const c10::TensorImpl*> seen;
  for (const CheckpointedLayer& layer : segment) {
    for (const at::Tensor& parameter : layer.module->parameters()) {
      if (parameter.requires_grad() && seen.insert(parameter.unsafeGetTensorImpl()).second) {
        parameters.push_back(parameter);
      }
    }
  }
  return parameters;
}

}  // namespace

CheckpointedSegments divide(CheckpointedSegment layers, const CheckpointedOptions& options) {
  const auto count = static_cast<int64_t>(layers.size());
  if (options.segments < 1 || options.segments > count) {
    throw Error({.what = count == 0 ? "there are no layers to checkpoint" : "a part can't be divided so",
                 .where = "CheckpointedOptions::segments",
                 .got = std::to_string(options.segments) + " segments for " + std::to_string(count) + " layers",
                 .expected = "from 1 to the number of layers"});
  }
  CheckpointedSegments segments;
  auto next = layers.begin();
  for (int64_t i = 0; i < options.segments; ++i) {
    const int64_t length = count / options.segments + (i < count % options.segments ? 1 : 0);
    segments.push_back(std::make_shared<const CheckpointedSegment>(next, next + length));
    next += length;
  }
  return segments;
}

at::Tensor forward_checkpointed(const CheckpointedSegments& segments, at::Tensor value, bool training) {
  const bool straight = !training || !at::GradMode::is_enabled();
  for (const auto& segment : segments) {
    std::vector<at::Tensor> tensors;
    if (!straight) tensors = parameters_of(*segment);
    if (straight || (tensors.empty() && !value.requires_grad())) {
      value = run(*segment, std::move(value));
      continue;
    }
    tensors.insert(tensors.begin(), value);
    value = Segment::apply(c10::make_intrusive<FirstRun>(segment, value.device()), at::TensorList(tensors));
  }
  return value;
}

}  // namespace athanor::detail
