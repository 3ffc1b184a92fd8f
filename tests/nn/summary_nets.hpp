// SPDX-License-Identifier: Apache-2.0
// The nets of summary_peer.py, for the tests of the summary.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "athanor/nn/net.hpp"

namespace athanor::testing {

struct Block : torch::nn::Module {
  Block(int64_t inputs, int64_t outputs, int64_t stride) {
    using torch::nn::Conv2dOptions;
    conv1 = register_module("conv1",
                            torch::nn::Conv2d(Conv2dOptions(inputs, outputs, 3).stride(stride).padding(1).bias(false)));
    bn1 = register_module("bn1", torch::nn::BatchNorm2d(outputs));
    relu = register_module("relu", torch::nn::ReLU());
    conv2 = register_module("conv2", torch::nn::Conv2d(Conv2dOptions(outputs, outputs, 3).padding(1).bias(false)));
    bn2 = register_module("bn2", torch::nn::BatchNorm2d(outputs));
    if (stride == 1) return;
    downsample = register_module(
        "downsample",
        torch::nn::Sequential(torch::nn::Conv2d(Conv2dOptions(inputs, outputs, 1).stride(stride).bias(false)),
                              torch::nn::BatchNorm2d(outputs)));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    const torch::Tensor out = bn2(conv2(relu(bn1(conv1(x)))));
    return relu(out + (downsample ? downsample->forward(x) : x));
  }
  torch::nn::Conv2d conv1 = nullptr, conv2 = nullptr;
  torch::nn::BatchNorm2d bn1 = nullptr, bn2 = nullptr;
  torch::nn::ReLU relu = nullptr;
  torch::nn::Sequential downsample = nullptr;
};

struct ResNet : torch::nn::Module {
  ResNet() {
    conv1 = register_module("conv1",
                            torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 16, 7).stride(2).padding(3).bias(false)));
    bn1 = register_module("bn1", torch::nn::BatchNorm2d(16));
    relu = register_module("relu", torch::nn::ReLU());
    maxpool = register_module("maxpool", torch::nn::MaxPool2d(torch::nn::MaxPool2dOptions(3).stride(2).padding(1)));
    layer1 = register_module("layer1", torch::nn::Sequential(Block(16, 16, 1), Block(16, 16, 1)));
    layer2 = register_module("layer2", torch::nn::Sequential(Block(16, 32, 2), Block(32, 32, 1)));
    avgpool = register_module("avgpool", torch::nn::AdaptiveAvgPool2d(1));
    fc = register_module("fc", torch::nn::Linear(32, 10));
  }
  torch::Tensor forward(torch::Tensor x) {
    x = maxpool(relu(bn1(conv1(x))));
    return fc(avgpool(layer2->forward(layer1->forward(x))).flatten(1));
  }
  torch::nn::Conv2d conv1 = nullptr;
  torch::nn::BatchNorm2d bn1 = nullptr;
  torch::nn::ReLU relu = nullptr;
  torch::nn::MaxPool2d maxpool = nullptr;
  torch::nn::Sequential layer1 = nullptr, layer2 = nullptr;
  torch::nn::AdaptiveAvgPool2d avgpool = nullptr;
  torch::nn::Linear fc = nullptr;
};

struct LstmNet : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return head(std::get<0>(lstm(x))[-1]); }
  torch::nn::LSTM lstm =
      register_module("lstm", torch::nn::LSTM(torch::nn::LSTMOptions(12, 20).num_layers(2).bidirectional(true)));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(40, 3));
};

struct TextNet : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return head(dropout(std::get<0>(gru(embedding(x))).mean(1))); }
  torch::nn::Embedding embedding = register_module("embedding", torch::nn::Embedding(50, 8));
  torch::nn::GRU gru = register_module("gru", torch::nn::GRU(torch::nn::GRUOptions(8, 16).batch_first(true)));
  torch::nn::Dropout dropout = register_module("dropout", torch::nn::Dropout(0.5));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(16, 4));
};

struct SharedNet : torch::nn::Module {
  torch::Tensor forward(torch::Tensor x) {
    for (int i = 0; i < 2; ++i) x = relu(second(relu(first(x))));
    return head(x);
  }
  torch::nn::Linear first = register_module("first", torch::nn::Linear(20, 20));
  torch::nn::Linear second = register_module("second", first);
  torch::nn::ReLU relu = register_module("relu", torch::nn::ReLU());
  torch::nn::Linear head = register_module("head", torch::nn::Linear(20, 5));
};

struct OwnNet : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return body->forward(x * scale) + shift[0]; }
  torch::Tensor scale = register_parameter("scale", torch::ones(16));
  torch::Tensor shift = register_parameter("shift", torch::zeros({3, 16}), /*requires_grad=*/false);
  torch::nn::Sequential body = register_module(
      "body", torch::nn::Sequential(torch::nn::Linear(16, 32), torch::nn::Tanh(), torch::nn::Linear(32, 16)));
};

struct TransformerNet : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& source, const torch::Tensor& target) {
    return head(transformer(source, target));
  }
  torch::nn::Transformer transformer = register_module(
      "transformer",
      torch::nn::Transformer(
          torch::nn::TransformerOptions(16, 2).num_encoder_layers(1).num_decoder_layers(2).dim_feedforward(24)));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(16, 7));
};

/// LibTorch's TransformerEncoder takes masks besides, which an athanor::Net does not give.
struct EncoderNet : torch::nn::TransformerEncoderImpl {
  EncoderNet()
      : torch::nn::TransformerEncoderImpl(torch::nn::TransformerEncoderOptions(
            torch::nn::TransformerEncoderLayer(torch::nn::TransformerEncoderLayerOptions(16, 4).dim_feedforward(32)),
            2)) {}
  torch::Tensor forward(const torch::Tensor& x) { return torch::nn::TransformerEncoderImpl::forward(x, {}, {}); }
};

inline Net frozen_net() {
  torch::nn::Sequential net(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 8, 3)), torch::nn::BatchNorm2d(8),
                            torch::nn::ReLU(), torch::nn::Flatten(), torch::nn::Linear(8 * 36, 5));
  for (torch::Tensor& parameter : net[0]->parameters()) parameter.requires_grad_(false);
  net[4]->as<torch::nn::Linear>()->bias.requires_grad_(false);
  return net;
}

/// A Sequential that can stand in another one.
struct Part : torch::nn::SequentialImpl {
  using torch::nn::SequentialImpl::SequentialImpl;
  torch::Tensor forward(const torch::Tensor& x) { return torch::nn::SequentialImpl::forward(x); }
};

struct NetCase {
  std::string name;
  Net net;
  Tree example;
};

inline std::vector<NetCase> summary_nets() {
  using namespace torch::nn;
  const auto conv = [](int64_t in, int64_t out, int64_t size, int64_t padding = 0) {
    return Conv2d(Conv2dOptions(in, out, size).padding(padding));
  };
  std::vector<NetCase> nets;
  nets.push_back({"mlp", Sequential(Linear(784, 128), ReLU(), Linear(128, 10)), torch::zeros({32, 784})});
  nets.push_back({"lenet",
                  Sequential(conv(1, 6, 5), ReLU(), MaxPool2d(2), conv(6, 16, 5), ReLU(), MaxPool2d(2), Flatten(),
                             Linear(256, 120), ReLU(), Linear(120, 10)),
                  torch::zeros({2, 1, 28, 28})});
  nets.push_back({"vgg",
                  Sequential(Part(conv(3, 8, 3, 1), BatchNorm2d(8), ReLU(), MaxPool2d(2), Dropout2d(0.1)),
                             Part(conv(8, 16, 3, 1), BatchNorm2d(16), LeakyReLU(), AvgPool2d(2), Identity()),
                             AdaptiveAvgPool2d(2), Flatten(), Linear(64, 10), LogSoftmax(1)),
                  torch::zeros({4, 3, 16, 16})});
  nets.push_back({"resnet", std::make_shared<ResNet>(), torch::zeros({2, 3, 64, 64})});
  nets.push_back({"lstm", std::make_shared<LstmNet>(), torch::zeros({7, 3, 12})});
  nets.push_back({"text", std::make_shared<TextNet>(), torch::zeros({5, 9}, torch::kLong)});
  nets.push_back({"encoder", std::make_shared<EncoderNet>(), torch::zeros({6, 3, 16})});
  nets.push_back({"transformer", std::make_shared<TransformerNet>(),
                  std::vector<torch::Tensor>{torch::zeros({5, 2, 16}), torch::zeros({4, 2, 16})}});
  nets.push_back({"shared", std::make_shared<SharedNet>(), torch::zeros({3, 20})});
  nets.push_back({"frozen", frozen_net(), torch::zeros({2, 3, 8, 8})});
  nets.push_back({"own", std::make_shared<OwnNet>(), torch::zeros({4, 16})});
  nets.push_back({"separable",
                  Sequential(Conv2d(Conv2dOptions(4, 4, 3).padding(2).dilation(2).groups(4)), PReLU(), conv(4, 12, 1),
                             GroupNorm(3, 12), GELU(), Flatten(FlattenOptions().start_dim(2)),
                             Conv1d(Conv1dOptions(12, 6, 3).stride(2)), AdaptiveMaxPool1d(1), Flatten(),
                             LayerNorm(LayerNormOptions({6}))),
                  torch::zeros({2, 4, 9, 9})});
  nets.push_back({"decoder",
                  Sequential(Linear(10, 32), ReLU(), Unflatten(UnflattenOptions(1, {8, 2, 2})),
                             ConvTranspose2d(ConvTranspose2dOptions(8, 4, 4).stride(2).padding(1)), ReLU(),
                             Upsample(UpsampleOptions().scale_factor(std::vector<double>{2, 2})),
                             ConstantPad2d(ConstantPad2dOptions(1, 0)), conv(4, 1, 3), Sigmoid()),
                  torch::zeros({3, 10})});
  return nets;
}

}  // namespace athanor::testing
