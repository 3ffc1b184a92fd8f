// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/multiply_adds.hpp"

#include <ATen/core/ivalue.h>

#include <algorithm>
#include <array>

#include "athanor/train/operator_tensors.hpp"

namespace athanor {
namespace {

using OperatorInputs = std::vector<c10::IValue>;

bool is_convolution(std::string_view op) { return op == "convolution" || op == "convolution_overrideable"; }
bool is_recurrent(std::string_view op) { return op == "lstm" || op == "gru" || op == "rnn_tanh" || op == "rnn_relu"; }
bool is_normalisation(std::string_view op) {
  return op == "batch_norm" || op == "layer_norm" || op == "group_norm" || op == "instance_norm" || op == "prelu";
}
bool is_matrix_product(std::string_view op) {
  static constexpr std::array<std::string_view, 11> names = {"addmm", "mm",  "bmm",  "baddbmm",  "addbmm", "mv",
                                                             "addmv", "dot", "vdot", "bilinear", "linear"};
  return std::find(names.begin(), names.end(), op) != names.end();
}

bool makes_multiply_adds(std::string_view op) {
  return is_matrix_product(op) || is_convolution(op) || is_recurrent(op) || is_normalisation(op) ||
         op == "scaled_dot_product_attention";
}

at::Tensor input_tensor(const OperatorInputs& inputs, size_t number) {
  return number < inputs.size() && inputs[number].isTensor() ? inputs[number].toTensor() : at::Tensor();
}
int64_t numel_or_zero(const at::Tensor& tensor) { return tensor.defined() ? tensor.numel() : 0; }
int64_t last_dimension(const at::Tensor& tensor) { return tensor.dim() > 0 ? tensor.size(-1) : 1; }
int64_t whole_ratio(int64_t whole, int64_t part) { return part == 0 ? 0 : whole / part; }

int64_t count_product(std::string_view op, const OperatorInputs& inputs, const at::Tensor& output) {
  if (op == "bilinear") {
    const at::Tensor weight = input_tensor(inputs, 2);
    return whole_ratio(output.numel(), weight.size(0)) * (weight.numel() + numel_or_zero(input_tensor(inputs, 3)));
  }
  if (op == "linear") {
    return output.numel() * last_dimension(input_tensor(inputs, 0)) +
           (input_tensor(inputs, 2).defined() ? output.numel() : 0);
  }
  if (op == "dot" || op == "vdot") return numel_or_zero(input_tensor(inputs, 0));
  const bool adds = op == "addmm" || op == "baddbmm" || op == "addbmm" || op == "addmv";
  const at::Tensor left = input_tensor(inputs, adds ? 1 : 0);
  const int64_t batches = op == "addbmm" ? left.size(0) : 1;
  return output.numel() * last_dimension(left) * batches + (adds ? output.numel() : 0);
}

int64_t count_convolution(const OperatorInputs& inputs, const at::Tensor& output) {
  const at::Tensor input = input_tensor(inputs, 0), weight = input_tensor(inputs, 1), bias = input_tensor(inputs, 2);
  const bool transposed = inputs.size() > 6 && inputs[6].isBool() && inputs[6].toBool();
  const int64_t biases = bias.defined() ? output.numel() : 0;
  if (transposed) return whole_ratio(input.numel(), weight.size(0)) * weight.numel() + biases;
  return whole_ratio(output.numel(), weight.size(0)) * weight.numel() + biases;
}

int64_t count_recurrent(const OperatorInputs& inputs) {
  int64_t parameters = 0;
  for (const c10::IValue& input : inputs) {
    if (!input.isList()) continue;
    int64_t here = 0;
    each_tensor(input, [&](const at::Tensor& tensor) { here += numel_or_zero(tensor); });
    parameters = here;  // the last list is that of the parameters
  }
  const at::Tensor input = input_tensor(inputs, 0);
  return whole_ratio(input.numel(), last_dimension(input)) * parameters;
}

int64_t count_normalisation(std::string_view op, const OperatorInputs& inputs) {
  const at::Tensor input = input_tensor(inputs, 0);
  const size_t first = op == "layer_norm" || op == "group_norm" ? 2 : 1;
  const int64_t parameters =
      numel_or_zero(input_tensor(inputs, first)) + (op == "prelu" ? 0 : numel_or_zero(input_tensor(inputs, first + 1)));
  return input.dim() > 0 ? input.size(0) * parameters : parameters;
}

/// The products of queries with keys and of weights with values.
int64_t count_attention(const OperatorInputs& inputs, const at::Tensor& output) {
  const at::Tensor query = input_tensor(inputs, 0), key = input_tensor(inputs, 1);
  return (query.numel() + output.numel()) * key.size(-2);
}

int64_t count_multiply_adds(std::string_view op, const OperatorInputs& inputs, const at::Tensor& output) {
  if (!output.defined()) return 0;
  if (is_matrix_product(op)) return count_product(op, inputs, output);
  if (is_convolution(op)) return count_convolution(inputs, output);
  if (is_recurrent(op)) return count_recurrent(inputs);
  if (is_normalisation(op)) return count_normalisation(op, inputs);
  return count_attention(inputs, output);
}

}  // namespace

MultiplyAddCounter multiply_add_counter() noexcept { return {makes_multiply_adds, count_multiply_adds}; }

}  // namespace athanor
