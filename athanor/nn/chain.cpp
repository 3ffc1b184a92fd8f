// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/chain.hpp"

#include <torch/torch.h>

#include "athanor/core/error.hpp"

namespace athanor {
namespace {

struct Chain : torch::nn::Module {
  explicit Chain(std::vector<Net> links) : nets(std::move(links)) {
    for (size_t i = 0; i < nets.size(); ++i) register_module(std::to_string(i), nets[i].module());
  }
  Tree forward(const Tree& input) {
    Tree value = input;
    for (const Net& net : nets) value = net.forward(value);
    return value;
  }
  std::vector<Net> nets;
};

}  // namespace

Net chain(std::vector<Net> nets) {
  if (nets.empty()) throw Error({.what = "a chain without nets", .where = "chain", .expected = "one net or more"});
  return {std::make_shared<Chain>(std::move(nets))};
}

}  // namespace athanor
