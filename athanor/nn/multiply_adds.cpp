// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/multiply_adds.hpp"

#include <ATen/core/ivalue.h>

#include <algorithm>
#include <array>

#include "athanor/train/operator_tensors.hpp"

namespace athanor {
namespace {

using IValues = std::vector<c10::IValue>;

bool is_convolution(std::string_view op) { return op == "convolution" || op == "convolution_overrideable"; }
bool is_recurrent(std::string_view op) { return op == "lstm" || op == "gru" || op == "rnn_tanh" || op == "rnn_relu"; }
bool is_normalisation(std::string_view op) {
  return op == "batch_norm" || op == "layer_norm" || op == "group_norm" || op == "instance_norm" || op == "prelu";
}
bool is_product(std::string_view op) {
  static constexpr std::array<std::string_view, 11> names = {"addmm", "mm",  "bmm",  "baddbmm",  "addbmm", "mv",
                                                             "addmv", "dot", "vdot", "bilinear", "linear"};
  return std::find(names.begin(), names.end(), op) != names.end();
}

bool makes_multiply_adds(std::string_view op) {
  return is_product(op) || is_convolution(op) || is_recurrent(op) || is_normalisation(op) ||
         op == "scaled_dot_product_attention";
}

at::Tensor tensor_of(const IValues& inputs, size_t number) {
  return number < inputs.size() && inputs[number].isTensor() ? inputs[number].toTensor() : at::Tensor();
}
int64_t numbers(const at::Tensor& tensor) { return tensor.defined() ? tensor.numel() : 0; }
int64_t last_size(const at::Tensor& tensor) { return tensor.dim() > 0 ? tensor.size(-1) : 1; }
int64_t share(int64_t whole, int64_t part) { return part == 0 ? 0 : whole / part; }

int64_t count_product(std::string_view op, const IValues& inputs, const at::Tensor& output) {
  if (op == "bilinear") {
    const at::Tensor weight = tensor_of(inputs, 2);
    return share(output.numel(), weight.size(0)) * (weight.numel() + numbers(tensor_of(inputs, 3)));
  }
  if (op == "linear") {
    return output.numel() * last_size(tensor_of(inputs, 0)) + (tensor_of(inputs, 2).defined() ? output.numel() : 0);
  }
  if (op == "dot" || op == "vdot") return numbers(tensor_of(inputs, 0));
  const bool adds = op == "addmm" || op == "baddbmm" || op == "addbmm" || op == "addmv";
  const at::Tensor left = tensor_of(inputs, adds ? 1 : 0);
  const int64_t batches = op == "addbmm" ? left.size(0) : 1;
  return output.numel() * last_size(left) * batches + (adds ? output.numel() : 0);
}

int64_t count_convolution(const IValues& inputs, const at::Tensor& output) {
  const at::Tensor input = tensor_of(inputs, 0), weight = tensor_of(inputs, 1), bias = tensor_of(inputs, 2);
  const bool transposed = inputs.size() > 6 && inputs[6].isBool() && inputs[6].toBool();
  const int64_t biases = bias.defined() ? output.numel() : 0;
  if (transposed) return share(input.numel(), weight.size(0)) * weight.numel() + biases;
  return share(output.numel(), weight.size(0)) * weight.numel() + biases;
}

int64_t count_recurrent(const IValues& inputs) {
  int64_t parameters = 0;
  for (const c10::IValue& input : inputs) {
    if (!input.isList()) continue;
    int64_t here = 0;
    each_tensor(input, [&](const at::Tensor& tensor) { here += numbers(tensor); });
    parameters = here;  // the last list is that of the parameters
  }
  const at::Tensor input = tensor_of(inputs, 0);
  return share(input.numel(), last_size(input)) * parameters;
}

int64_t count_normalisation(std::string_view op, const IValues& inputs) {
  const at::Tensor input = tensor_of(inputs, 0);
  const size_t first = op == "layer_norm" || op == "group_norm" ? 2 : 1;
  const int64_t parameters =
      numbers(tensor_of(inputs, first)) + (op == "prelu" ? 0 : numbers(tensor_of(inputs, first + 1)));
  return input.dim() > 0 ? input.size(0) * parameters : parameters;
}

/// The products of queries with keys and of weights with values.
int64_t count_attention(const IValues& inputs, const at::Tensor& output) {
  const at::Tensor query = tensor_of(inputs, 0), key = tensor_of(inputs, 1);
  return (query.numel() + output.numel()) * key.size(-2);
}

int64_t count_multiply_adds(std::string_view op, const IValues& inputs, const at::Tensor& output) {
  if (!output.defined()) return 0;
  if (is_product(op)) return count_product(op, inputs, output);
  if (is_convolution(op)) return count_convolution(inputs, output);
  if (is_recurrent(op)) return count_recurrent(inputs);
  if (is_normalisation(op)) return count_normalisation(op, inputs);
  return count_attention(inputs, output);
}

}  // namespace

MultiplyAddCounter multiply_add_counter() noexcept { return {makes_multiply_adds, count_multiply_adds}; }

}  // namespace athanor
