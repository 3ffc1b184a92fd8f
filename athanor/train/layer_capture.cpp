// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/layer_capture.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/train/layer_match.hpp"

namespace athanor {

struct LayerCapture::Implementation {
  explicit Implementation(const Nets& nets) : tree(nets) {}

  /// The trace of one run of `forward`; `on_end` as for LayerTrace.
  at::Tensor traced(const std::function<at::Tensor()>& forward, std::function<void(size_t, const at::Tensor&)> on_end,
                    std::vector<TracedOperator>& operators) {
    std::vector<at::Tensor> held;
    for (const LayerTree::Held& each : tree.held()) held.push_back(each.tensor);
    ParameterPlaces places(std::move(held));
    LayerTrace trace(places, LayerTraceOptions{.on_end = std::move(on_end)});
    at::Tensor result = forward();
    trace.stop();
    operators = trace.operators();
    return result;
  }

  [[nodiscard]] std::optional<size_t> find_operator(const LayerMatch& match, bool& sure) const {
    std::optional<size_t> found;
    for (const LayerCall& call : match.calls) {
      if (call.layer != node) continue;
      found = call.op;
      sure = call.by != MatchedBy::order;
    }
    if (found) return found;
    for (size_t i = 0; i < match.layers.size(); ++i) {
      const bool inside =
          (match.layers[i] && tree.inside(*match.layers[i], node)) || tree.inside(match.within[i], node);
      if (inside) found = i;
    }
    return found;
  }

  LayerTree tree;
  size_t node = 0;
  std::optional<size_t> op;
  std::string op_name;
  torch::autograd::Edge edge;
};

namespace {

bool can_be_captured(const LayerNode& node) {
  return node.module != nullptr && node.order != LayerNode::Order::list && !node.path.empty();
}

std::vector<std::string> names_in(const LayerTree& tree) {
  std::vector<std::string> names;
  for (const LayerNode& node : tree.nodes()) {
    if (can_be_captured(node)) names.push_back(node.path);
  }
  return names;
}

[[noreturn]] void refuse_layer(const LayerTree& tree, const std::string& layer, const std::string& where) {
  const std::vector<std::string> names = names_in(tree);
  const std::string near = nearest(layer, names);
  throw Error({.what = "there is no layer of this name",
               .where = where,
               .got = layer,
               .expected = names.empty() ? "a net with layers" : "one of " + join(names, ", "),
               .todo = near.empty() ? "" : "did you mean " + near + "?"});
}

}  // namespace

std::vector<std::string> layer_names(const Nets& nets) { return names_in(LayerTree(nets)); }

void require_layer(const Nets& nets, const std::string& layer, const std::string& where) {
  const LayerTree tree(nets);
  const std::vector<std::string> names = names_in(tree);
  if (std::find(names.begin(), names.end(), layer) == names.end()) refuse_layer(tree, layer, where);
}

LayerCapture::LayerCapture(const Nets& nets, std::string layer)
    : implementation_(std::make_unique<Implementation>(nets)), layer_(std::move(layer)) {
  const LayerTree& tree = implementation_->tree;
  for (size_t i = 0; i < tree.size(); ++i) {
    if (!can_be_captured(tree[i]) || tree[i].path != layer_) continue;
    implementation_->node = i;
    return;
  }
  refuse_layer(tree, layer_, "LayerCapture");
}

LayerCapture::~LayerCapture() = default;

at::Tensor LayerCapture::run(const std::function<at::Tensor()>& forward) {
  Implementation& own = *implementation_;
  std::vector<TracedOperator> operators;
  if (!own.op) {
    own.traced(forward, {}, operators);
    own.op = own.find_operator(match_layers(own.tree, operators), sure_);
    if (!own.op) {
      throw Error({.what = "the forward pass does not run the layer",
                   .where = "LayerCapture",
                   .got = layer_ + ", a " + own.tree[own.node].type,
                   .expected = "a layer that computes something in this pass",
                   .todo = "name the layer before or behind it"});
    }
    own.op_name = operators[*own.op].name;
  }
  values_.reset();
  own.edge = {};
  const auto keep = [&](size_t number, const at::Tensor& output) {
    if (number != *own.op) return;
    if (output.requires_grad()) own.edge = torch::autograd::impl::gradient_edge(output);
    const at::NoGradGuard no_grad;
    values_ = output.detach().clone();
  };
  at::Tensor result = own.traced(forward, keep, operators);
  if (!values_.defined() || operators[*own.op].name != own.op_name) {
    throw Error({.what = "the forward pass runs other operators each time",
                 .where = "LayerCapture, layer " + layer_,
                 .got = values_.defined() ? operators[*own.op].name : std::to_string(operators.size()) + " operators",
                 .expected = own.op_name + " as operator " + std::to_string(*own.op),
                 .todo = "make a new LayerCapture for each kind of pass"});
  }
  return result;
}

at::Tensor LayerCapture::gradient(const at::Tensor& number) const {
  const torch::autograd::Edge& edge = implementation_->edge;
  if (!edge.is_valid() || !number.defined() || !number.requires_grad() || number.numel() != 1) {
    throw Error({.what = "there is no gradient of this number with respect to the layer",
                 .where = "LayerCapture, layer " + layer_,
                 .got = edge.is_valid()
                            ? describe(number) + (number.defined() && !number.requires_grad() ? " without a graph" : "")
                            : "a run that recorded no graph",
                 .expected = "one number that the last run computed, with gradients enabled"});
  }
  const auto gradients = torch::autograd::Engine::get_default_engine().execute(
      {torch::autograd::impl::gradient_edge(number)}, {at::ones_like(number)}, /*keep_graph=*/true,
      /*create_graph=*/false, /*accumulate_grad=*/false, {edge});
  if (gradients.empty() || !gradients.front().defined()) {
    throw Error({.what = "the number does not depend on the layer",
                 .where = "LayerCapture, layer " + layer_,
                 .got = "no gradient",
                 .expected = "a layer on the way from the input to the number"});
  }
  return gradients.front();
}

}  // namespace athanor
