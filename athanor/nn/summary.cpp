// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/summary.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "athanor/core/error.hpp"
#include "athanor/core/random.hpp"
#include "athanor/core/text.hpp"
#include "athanor/nn/multiply_adds.hpp"
#include "athanor/nn/summary_failure.hpp"
#include "athanor/train/layer_match.hpp"
#include "athanor/train/layer_operators.hpp"

namespace athanor {
namespace {

/// The default generator of a device other than the CPU, put back at the end.
class DeviceGeneratorGuard {
 public:
  explicit DeviceGeneratorGuard(at::Device device) {
    if (device.is_cpu() || device.is_meta()) return;
    generator_ = at::globalContext().defaultGenerator(device);
    const std::lock_guard<std::mutex> lock(generator_.mutex());
    state_ = generator_.get_state();
  }
  ~DeviceGeneratorGuard() {
    if (!generator_.defined()) return;
    const std::lock_guard<std::mutex> lock(generator_.mutex());
    generator_.set_state(state_);
  }
  DeviceGeneratorGuard(const DeviceGeneratorGuard&) = delete;
  DeviceGeneratorGuard& operator=(const DeviceGeneratorGuard&) = delete;

 private:
  at::Generator generator_;
  at::Tensor state_;
};

class Summarizer {
 public:
  Summarizer(const Net& net, const Tree& example) : net_(net), nets_{{"net", net.module()}}, tree_(nets_) {
    example_ = example.to(device_of(nets_));
  }

  Summary run() {
    add_layers();
    count_parameters();
    forward();
    match_ = match_layers(tree_, operators_);
    find_leaves();
    for (size_t node = tree_.size(); node-- > 0;) {
      if (tree_[node].order != LayerNode::Order::leaf || !is_known(node)) find_output(node);
    }
    count_work();
    return std::move(summary_);
  }

 private:
  using Layer = Summary::Layer;
  using Shape = std::vector<int64_t>;

  void add_layers() {
    for (const LayerNode& node : tree_.nodes()) {
      summary_.layers.push_back({.path = node.path,
                                 .type = node.type,
                                 .depth = node.parent ? summary_.layers[*node.parent].depth + 1 : 0,
                                 .is_leaf = node.children.empty()});
    }
  }

  /// A tensor is the same as another one when it is the same object or fills the same memory.
  class Seen {
   public:
    std::optional<size_t> first(const at::Tensor& tensor, size_t node) {
      const auto object = objects_.emplace(tensor.unsafeGetTensorImpl(), node);
      if (!object.second) return object.first->second;
      const auto memory = memory_of(tensor);
      if (memory.first == 0) return std::nullopt;
      const auto place = places_.emplace(memory, node);
      if (!place.second) return place.first->second;
      return std::nullopt;
    }

   private:
    std::map<const c10::TensorImpl*, size_t> objects_;
    std::map<std::pair<uintptr_t, uintptr_t>, size_t> places_;
  };

  void count_parameters() {
    Seen seen;
    std::map<const torch::nn::Module*, size_t> modules;
    for (size_t i = 0; i < tree_.size(); ++i) {
      Layer& layer = summary_.layers[i];
      for (const auto& [name, tensor] : tree_[i].parameters) {
        if (const auto first = seen.first(tensor, i)) {
          layer.shared += tensor.numel();
          if (layer.shared_with.empty()) layer.shared_with = tree_[*first].name();
          continue;
        }
        layer.parameters += tensor.numel();
        summary_.parameter_bytes += static_cast<int64_t>(tensor.nbytes());
        if (!tensor.requires_grad()) layer.frozen += tensor.numel();
      }
      for (const auto& [name, tensor] : tree_[i].buffers) {
        if (!seen.first(tensor, i)) summary_.buffer_bytes += static_cast<int64_t>(tensor.nbytes());
      }
      summary_.parameters += layer.parameters;
      summary_.frozen += layer.frozen;
      const auto same = modules.emplace(tree_[i].module, i);
      if (!same.second) layer.note = "the same module as " + tree_[same.first->second].name();
    }
    summary_.trainable = summary_.parameters - summary_.frozen;
  }

  void forward() {
    std::vector<at::Tensor> held;
    for (const LayerTree::Held& each : tree_.held()) held.push_back(each.tensor);
    ParameterPlaces places(std::move(held));
    const EvalMode eval(nets_);
    const at::NoGradGuard no_grad;
    const HostGeneratorGuard host_generator;
    const DeviceGeneratorGuard device_generator(device_of(nets_));
    LayerTrace trace(places,
                     {.counter = multiply_add_counter(), .on_end = {}, .keep_written = true, .describe_inputs = true});
    try {
      output_ = net_.forward(example_);
    } catch (const Error&) {
      trace.restore();
      throw;
    } catch (const std::exception& exception) {
      trace.restore();
      explain_forward_failure(tree_, trace.operators(), example_, exception);
    }
    trace.restore();
    operators_ = trace.operators();
    example_.walk([&](const std::string&, const Tree& leaf) {
      if (leaf.is_tensor()) summary_.input_bytes += static_cast<int64_t>(leaf.tensor().nbytes());
    });
  }

  // ---- what leaves a layer

  [[nodiscard]] bool is_known(size_t node) const { return operators_of(tree_[node]) != nullptr; }

  void find_leaves() {
    for (const LayerCall& call : match_.calls) {
      if (!is_known(call.layer) && !tree_[call.layer].children.empty()) continue;
      Layer& layer = summary_.layers[call.layer];
      layer.calls += 1;
      const auto& outputs = operators_[call.op].outputs;
      if (outputs.empty()) continue;
      layer.output_bytes += outputs.front().bytes();
      if (layer.calls > 1) continue;
      set_output(call.layer, {outputs.front().shape}, outputs.front().dtype);
      if (call.shape_is_sure) continue;
      layer.output = Summary::Output::unsure;
      layer.note = "matched by the order of execution; other operators of its kind gave other shapes";
    }
  }

  void set_output(size_t node, std::vector<Shape> shapes, at::ScalarType dtype) {
    Layer& layer = summary_.layers[node];
    layer.output = shapes.size() == 1 ? Summary::Output::known : Summary::Output::unsure;
    layer.shapes = std::move(shapes);
    layer.dtype = dtype_name(dtype);
  }
  void take_output(size_t node, size_t from) {
    const Layer& source = summary_.layers[from];
    Layer& layer = summary_.layers[node];
    layer.output = source.output;
    layer.shapes = source.shapes;
    layer.dtype = source.dtype;
  }

  /// Of everything but layers whose operator is known. Children come before their parents.
  void find_output(size_t node) {
    const LayerNode& module = tree_[node];
    if (!module.parent) {
      if (const at::Tensor first = output_.first_tensor(); first.defined()) {
        set_output(node, {first.sizes().vec()}, first.scalar_type());
      }
      return;
    }
    if (module.order == LayerNode::Order::list) return;
    if (module.order == LayerNode::Order::sequence) {
      pass_through(module);
      if (module.children.empty()) return;
      if (module.ends_with_last_child) return take_output(node, module.children.back());
    }
    if (const std::string_view name = child_with_output(module); !name.empty()) {
      for (const size_t child : module.children) {
        if (tree_[child].path.ends_with(name)) take_output(node, child);
      }
      return;
    }
    find_output_by_flow(node);
  }

  /// An Identity runs no operator: it hands on what comes before it.
  void pass_through(const LayerNode& sequence) {
    for (size_t i = 1; i < sequence.children.size(); ++i) {
      const size_t child = sequence.children[i];
      if (tree_[child].of_torch && tree_[child].type == "Identity") take_output(child, sequence.children[i - 1]);
    }
  }

  /// The forward() of the module is not known. What leaves it is read after its last layer, or made by the operators
  /// between that and the next layer: when all these have one shape, it is that.
  void find_output_by_flow(size_t node) {
    const auto is_of_it = [&](size_t op) { return match_.layers[op] && tree_.inside(*match_.layers[op], node); };
    size_t begin = 0;
    while (begin < operators_.size() && !is_of_it(begin)) ++begin;
    if (begin == operators_.size()) return;
    size_t last = begin, next = begin;
    for (; next < operators_.size(); ++next) {
      if (!match_.layers[next]) continue;
      if (!is_of_it(next)) break;
      last = next;
    }
    std::vector<Shape> shapes;
    std::optional<at::ScalarType> dtype;
    const auto add = [&](const TracedOperator::Output& output) {
      if (std::find(shapes.begin(), shapes.end(), output.shape) == shapes.end()) shapes.push_back(output.shape);
      if (!dtype) dtype = output.dtype;
    };
    const std::set<const c10::TensorImpl*> read = read_after(last);
    for (size_t op = begin; op <= last; ++op) {
      if (operators_[op].only_places) continue;
      for (const auto& output : operators_[op].outputs) {
        if (read.contains(output.tensor._unsafe_get_target())) add(output);
      }
    }
    for (size_t op = last; op < next; ++op) {
      if (operators_[op].outputs.empty() || operators_[op].only_places) continue;
      if (op > last || shapes.empty()) add(operators_[op].outputs.front());
    }
    if (shapes.empty()) return;
    const bool several = shapes.size() > 1;
    set_output(node, std::move(shapes), *dtype);
    if (several) summary_.layers[node].note = "its forward() is not known, and what follows it gives several shapes";
  }

  [[nodiscard]] std::set<const c10::TensorImpl*> read_after(size_t last) const {
    std::set<const c10::TensorImpl*> read;
    for (size_t op = last + 1; op < operators_.size(); ++op) {
      read.insert(operators_[op].inputs.begin(), operators_[op].inputs.end());
    }
    for (const at::Tensor& tensor : output_.tensors()) read.insert(tensor.unsafeGetTensorImpl());
    return read;
  }

  // ---- work and memory

  void count_work() {
    for (size_t op = 0; op < operators_.size(); ++op) {
      int64_t count = operators_[op].multiply_adds;
      if (count == 0) count = count_bias(op);
      summary_.layers[match_.within[op]].multiply_adds += count;
      summary_.multiply_adds += count;
    }
    for (size_t i = 0; i < tree_.size(); ++i) {
      if (!tree_[i].parameters.empty()) summary_.activation_bytes += 2 * summary_.layers[i].output_bytes;
      Layer& layer = summary_.layers[i];
      if (layer.output == Summary::Output::not_seen && layer.note.empty() && tree_[i].order != LayerNode::Order::list) {
        layer.note = "not seen in this pass";
      }
    }
  }

  /// The bias of a linear layer over sequences is added by an operator of its own.
  [[nodiscard]] int64_t count_bias(size_t op) const {
    const TracedOperator& traced = operators_[op];
    static constexpr std::string_view additions[] = {"add"};
    const auto layer = match_.layers[op];
    if (traced.outputs.empty() || traced.only_places || !layer || !tree_[*layer].of_torch) return 0;
    if (traced.places.empty() || !is_among(traced.name, additions)) return 0;
    int64_t count = 1;
    for (const int64_t size : traced.outputs.front().shape) count *= size;
    return count;
  }

  const Net& net_;
  Nets nets_;
  LayerTree tree_;
  Tree example_;
  Tree output_;
  std::vector<TracedOperator> operators_;
  LayerMatch match_;
  Summary summary_;
};

}  // namespace

Summary summary(const Net& net, const Tree& example) { return Summarizer(net, example).run(); }

}  // namespace athanor
