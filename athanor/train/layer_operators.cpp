// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/layer_operators.hpp"

#include <algorithm>
#include <map>

namespace athanor {
namespace {

const std::map<std::string_view, LayerOperators>& table_of_operators() {
  static const std::map<std::string_view, LayerOperators> table = {
      // Layers with parameters.
      {"Linear", {{"addmm", "matmul", "linear", "mm", "mv"}, {"add"}}},
      {"Bilinear", {{"bilinear"}}},
      {"Conv1d", {{"conv1d", "convolution"}}},
      {"Conv2d", {{"conv2d", "convolution"}}},
      {"Conv3d", {{"conv3d", "convolution"}}},
      {"ConvTranspose1d", {{"conv_transpose1d"}}},
      {"ConvTranspose2d", {{"conv_transpose2d"}}},
      {"ConvTranspose3d", {{"conv_transpose3d"}}},
      {"BatchNorm1d", {{"batch_norm"}}},
      {"BatchNorm2d", {{"batch_norm"}}},
      {"BatchNorm3d", {{"batch_norm"}}},
      {"InstanceNorm1d", {{"instance_norm"}}},
      {"InstanceNorm2d", {{"instance_norm"}}},
      {"InstanceNorm3d", {{"instance_norm"}}},
      {"LayerNorm", {{"layer_norm"}}},
      {"GroupNorm", {{"group_norm"}}},
      {"Embedding", {{"embedding"}}},
      {"EmbeddingBag", {{"embedding_bag"}}},
      {"LSTM", {{"lstm"}}},
      {"GRU", {{"gru"}}},
      {"RNN", {{"rnn_tanh", "rnn_relu"}}},
      {"LSTMCell", {{"lstm_cell"}}},
      {"GRUCell", {{"gru_cell"}}},
      {"RNNCell", {{"rnn_tanh_cell", "rnn_relu_cell"}}},
      {"PReLU", {{"prelu"}}},
      // Layers without.
      {"ReLU", {{"relu"}}},
      {"ReLU6", {{"relu6"}}},
      {"RReLU", {{"rrelu"}}},
      {"LeakyReLU", {{"leaky_relu"}}},
      {"ELU", {{"elu"}}},
      {"SELU", {{"selu"}}},
      {"CELU", {{"celu"}}},
      {"GELU", {{"gelu"}}},
      {"SiLU", {{"silu"}}},
      {"Mish", {{"mish"}}},
      {"GLU", {{"glu"}}},
      {"Sigmoid", {{"sigmoid"}}},
      {"LogSigmoid", {{"log_sigmoid"}}},
      {"Tanh", {{"tanh"}}},
      {"Tanhshrink", {{"sub"}}},
      {"Hardtanh", {{"hardtanh"}}},
      {"Hardshrink", {{"hardshrink"}}},
      {"Softshrink", {{"softshrink"}}},
      {"Softplus", {{"softplus"}}},
      {"Softsign", {{"div"}}},
      {"Threshold", {{"threshold"}}},
      {"Softmax", {{"softmax"}}},
      {"Softmax2d", {{"softmax"}}},
      {"Softmin", {{"softmax"}}},
      {"LogSoftmax", {{"log_softmax"}}},
      {"Dropout", {{"dropout"}}},
      {"Dropout2d", {{"feature_dropout"}}},
      {"Dropout3d", {{"feature_dropout"}}},
      {"AlphaDropout", {{"alpha_dropout"}}},
      {"FeatureAlphaDropout", {{"feature_alpha_dropout"}}},
      {"MaxPool1d", {{"max_pool1d"}}},
      {"MaxPool2d", {{"max_pool2d"}}},
      {"MaxPool3d", {{"max_pool3d"}}},
      {"AvgPool1d", {{"avg_pool1d"}}},
      {"AvgPool2d", {{"avg_pool2d"}}},
      {"AvgPool3d", {{"avg_pool3d"}}},
      {"AdaptiveAvgPool1d", {{"adaptive_avg_pool1d"}}},
      {"AdaptiveAvgPool2d", {{"adaptive_avg_pool2d"}}},
      {"AdaptiveAvgPool3d", {{"adaptive_avg_pool3d"}}},
      {"AdaptiveMaxPool1d", {{"adaptive_max_pool1d"}}},
      {"AdaptiveMaxPool2d", {{"adaptive_max_pool2d"}}},
      {"AdaptiveMaxPool3d", {{"adaptive_max_pool3d"}}},
      {"FractionalMaxPool2d", {{"fractional_max_pool2d"}}},
      {"FractionalMaxPool3d", {{"fractional_max_pool3d"}}},
      {"MaxUnpool1d", {{"max_unpool2d"}, {"squeeze"}}},
      {"MaxUnpool2d", {{"max_unpool2d"}}},
      {"MaxUnpool3d", {{"max_unpool3d"}}},
      {"Flatten", {{"flatten"}}},
      {"Unflatten", {{"unflatten"}}},
      {"ReflectionPad1d", {{"_pad_enum", "pad"}}},
      {"ReflectionPad2d", {{"_pad_enum", "pad"}}},
      {"ReflectionPad3d", {{"_pad_enum", "pad"}}},
      {"ReplicationPad1d", {{"_pad_enum", "pad"}}},
      {"ReplicationPad2d", {{"_pad_enum", "pad"}}},
      {"ReplicationPad3d", {{"_pad_enum", "pad"}}},
      {"ConstantPad1d", {{"_pad_enum", "pad"}}},
      {"ConstantPad2d", {{"_pad_enum", "pad"}}},
      {"ConstantPad3d", {{"_pad_enum", "pad"}}},
      {"ZeroPad1d", {{"_pad_enum", "pad"}}},
      {"ZeroPad2d", {{"_pad_enum", "pad"}}},
      {"ZeroPad3d", {{"_pad_enum", "pad"}}},
      {"PixelShuffle", {{"pixel_shuffle"}}},
      {"PixelUnshuffle", {{"pixel_unshuffle"}}},
      {"Fold", {{"col2im"}}},
      {"Unfold", {{"im2col"}}},
      {"CosineSimilarity", {{"cosine_similarity"}}},
      {"PairwiseDistance", {{"pairwise_distance"}}},
      {"Upsample",
       {{"upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
         "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d",
         "upsample_trilinear3d", "upsample_bicubic2d"}}},
  };
  return table;
}

}  // namespace

std::string_view without_underscore(std::string_view op) noexcept {
  if (op.ends_with('_') && !op.ends_with("__")) op.remove_suffix(1);
  return op;
}

bool is_among(std::string_view op, std::span<const std::string_view> names) noexcept {
  return std::find(names.begin(), names.end(), without_underscore(op)) != names.end();
}

const LayerOperators* operators_of(const LayerNode& node) {
  if (!node.of_torch || !node.children.empty()) return nullptr;
  const auto& table = table_of_operators();
  const auto entry = table.find(node.type);
  return entry == table.end() ? nullptr : &entry->second;
}

bool is_activation_function(std::string_view op) noexcept {
  static constexpr std::string_view functions[] = {
      "relu", "relu6",   "leaky_relu",  "elu",      "selu",        "celu",      "gelu",     "silu", "mish",
      "tanh", "sigmoid", "log_sigmoid", "hardtanh", "hardsigmoid", "hardswish", "softplus", "rrelu"};
  return is_among(op, functions);
}

std::span<const std::string_view> order_of_execution(const LayerNode& node) noexcept {
  static constexpr std::string_view encoder[] = {"dropout1", "dropout", "dropout2"};
  static constexpr std::string_view decoder[] = {"dropout1", "dropout2", "dropout", "dropout3"};
  if (node.of_torch && node.type == "TransformerEncoderLayer") return encoder;
  if (node.of_torch && node.type == "TransformerDecoderLayer") return decoder;
  return {};
}

std::string_view child_with_output(const LayerNode& node) noexcept {
  return node.of_torch && node.type == "MultiheadAttention" ? "out_proj" : "";
}

}  // namespace athanor
