// SPDX-License-Identifier: Apache-2.0
// A module without a forward.
#include <torch/torch.h>

#include "athanor/nn/net.hpp"

struct Silent : torch::nn::Module {};

athanor::Net net = std::make_shared<Silent>();
