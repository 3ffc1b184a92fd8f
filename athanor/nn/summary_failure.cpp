// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/summary_failure.hpp"

#include <c10/util/Exception.h>

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/join_numbers.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/layer_match.hpp"

namespace athanor {
namespace {

std::string failure_reason(const std::exception& exception) {
  const auto* error = dynamic_cast<const c10::Error*>(&exception);
  const std::string text = error != nullptr ? error->what_without_backtrace() : exception.what();
  return text.substr(0, text.find('\n'));
}

std::string named_layer(const LayerNode& node) {
  if (node.path.empty()) return "the net itself (" + node.type + ")";
  return "layer '" + node.path + "' (" + node.type + ")";
}

std::string shape_in_words(at::IntArrayRef shape) { return "(" + join_numbers(shape) + ")"; }

/// A layer that may have failed before its first operator.
struct NextLayer {
  const LayerNode* layer = nullptr;
  bool sure = false;  ///< Everything around it is a Sequential.
};

/// The layer that comes after `last` in the order of registration; the first one of all without `last`.
NextLayer layer_after(const LayerTree& tree, std::optional<size_t> last) {
  NextLayer next{.sure = true};
  for (size_t node = last ? tree[*last].end : 0; node < tree.size(); ++node) {
    if (!tree[node].children.empty()) continue;
    next.layer = &tree[node];
    const size_t around = last ? tree.common(*last, node) : 0;
    for (auto above = tree[node].parent; above && next.sure; above = tree[*above].parent) {
      next.sure = tree[*above].order == LayerNode::Order::sequence;
      if (*above == around) break;
    }
    for (auto above = last ? tree[*last].parent : std::nullopt; above && next.sure; above = tree[*above].parent) {
      next.sure = tree[*above].order == LayerNode::Order::sequence;
      if (*above == around) break;
    }
    break;
  }
  return next;
}

/// What a layer with a weight takes: `a last dimension of 64`, `64 channels`.
std::string wanted_input(const LayerNode& node) {
  const auto weight = std::find_if(node.parameters.begin(), node.parameters.end(), [](const auto& each) {
    return each.first == "weight" || each.first == "weight_ih_l0" || each.first == "weight_ih";
  });
  if (!node.of_torch || weight == node.parameters.end()) return {};
  const at::Tensor& tensor = weight->second;
  const std::string dtype = dtype_name(tensor.scalar_type());
  if (node.type == "Linear" || weight->first != "weight") {
    return dtype + " with a last dimension of " + std::to_string(tensor.size(1));
  }
  if (node.type.starts_with("ConvTranspose")) return dtype + " with " + std::to_string(tensor.size(0)) + " channels";
  const bool is_convolution = node.type.starts_with("Conv") && tensor.dim() >= 3;
  if (is_convolution) {
    return dtype + " (N, channels" +
           (tensor.dim() == 3   ? ", length"
            : tensor.dim() == 4 ? ", height, width"
                                : ", …") +
           ") with " + std::to_string(tensor.size(1)) + " channels for each group";
  }
  if (node.type.starts_with("BatchNorm")) {
    const char* form = node.type == "BatchNorm1d"   ? "(N, channels) or (N, channels, length)"
                       : node.type == "BatchNorm2d" ? "(N, channels, height, width)"
                                                    : "(N, channels, depth, height, width)";
    return dtype + " " + form + " with " + std::to_string(tensor.size(0)) + " channels";
  }
  if (node.type == "LayerNorm") return dtype + " that ends with " + shape_in_words(tensor.sizes());
  if (node.type.starts_with("Embedding")) {
    return "int64 or int32, from 0 to " + std::to_string(tensor.size(0) - 1);
  }
  return {};
}

std::string traced_output_text(const TracedOperator& op) {
  if (op.outputs.empty()) return "nothing";
  return dtype_name(op.outputs.front().dtype) + " " + shape_in_words(op.outputs.front().shape);
}

}  // namespace

void explain_forward_failure(const LayerTree& tree, const std::vector<TracedOperator>& operators, const Tree& example,
                             const std::exception& exception) {
  const std::string todo =
      "give an example of the shape and dtype that a batch has, (N, …); or look at the layers before this one";
  const std::string whole = "the example is " + example.describe();
  const bool in_operator = !operators.empty() && !operators.back().finished;
  const LayerMatch match = match_layers(tree, operators);
  if (in_operator) {
    const TracedOperator& op = operators.back();
    const auto layer = match.layers.back();
    std::string where = layer ? named_layer(tree[*layer]) : "";
    if (!layer) {
      const auto before = std::find_if(match.layers.rbegin() + 1, match.layers.rend(), [](auto each) { return each; });
      where = before == match.layers.rend() ? "before the first layer" : "after " + named_layer(tree[**before]);
    }
    throw Error({.what = "the net does not take this example: " + failure_reason(exception),
                 .where = where + ", operator " + op.name,
                 .got = join(op.input_forms, ", ") + "; " + whole,
                 .expected = layer ? wanted_input(tree[*layer]) : "",
                 .todo = todo});
  }
  const auto ran = std::find_if(match.layers.rbegin(), match.layers.rend(), [](auto each) { return each; });
  const NextLayer next = layer_after(tree, ran == match.layers.rend() ? std::nullopt : *ran);
  std::string where;
  if (next.layer != nullptr && next.sure) {
    where = named_layer(*next.layer) + ", before its operator";
  } else {
    where = ran == match.layers.rend() ? "before the first operator of a layer" : "after " + named_layer(tree[**ran]);
    if (next.layer != nullptr) where += "; the next one registered is " + named_layer(*next.layer);
  }
  const std::string came = operators.empty() ? whole
                                             : traced_output_text(operators.back()) + " from operator " +
                                                   operators.back().name + "; " + whole;
  throw Error({.what = "the net does not take this example: " + failure_reason(exception),
               .where = where,
               .got = came,
               .expected = next.layer != nullptr && next.sure ? wanted_input(*next.layer) : "",
               .todo = todo});
}

}  // namespace athanor
