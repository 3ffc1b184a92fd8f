// SPDX-License-Identifier: Apache-2.0
// Everything in one include. It brings tensors, not nets: include torch/torch.h or torch/nn.h for those.
#pragma once

#include "athanor/callbacks/early_stopping.hpp"
#include "athanor/callbacks/keep_best.hpp"
#include "athanor/callbacks/serving_copy.hpp"
#include "athanor/core/error.hpp"
#include "athanor/data/combine.hpp"
#include "athanor/data/fashion_mnist.hpp"
#include "athanor/data/idx.hpp"
#include "athanor/data/loader.hpp"
#include "athanor/metrics/metrics.hpp"
#include "athanor/model.hpp"
#include "athanor/nn/activation_checkpoint.hpp"
#include "athanor/nn/loss.hpp"
#include "athanor/optim/adam.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "athanor/track/console.hpp"
#include "athanor/track/plot.hpp"
#include "athanor/train/loop.hpp"
#include "athanor/train/trainer.hpp"
#include "athanor/train/weights.hpp"
