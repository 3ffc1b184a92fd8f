// SPDX-License-Identifier: Apache-2.0
// All losses in one include.
#pragma once

#include "athanor/nn/box_loss.hpp"
#include "athanor/nn/classification_loss.hpp"
#include "athanor/nn/distillation_loss.hpp"
#include "athanor/nn/embedding_loss.hpp"
#include "athanor/nn/loss.hpp"
#include "athanor/nn/quantile_loss.hpp"
#include "athanor/nn/segmentation_loss.hpp"
#include "athanor/nn/sequence_loss.hpp"
#include "athanor/nn/uncertainty_loss.hpp"
