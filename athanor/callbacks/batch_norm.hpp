// SPDX-License-Identifier: Apache-2.0
// The statistics of BatchNorm for weights that were not trained with them.
#pragma once

#include <optional>

#include "athanor/data/limit.hpp"

namespace athanor {

class Trainer;

/// Computes the running mean and variance of every BatchNorm in train mode again, as the equally weighted mean over a
/// pass of the training data, as `torch.optim.swa_utils.update_bn` does. The training step of the task runs in train
/// mode and without gradients; nothing of it is recorded. One that is frozen in eval mode keeps its own. Without a
/// BatchNorm nothing happens.
///
/// `batches`: how much of the training data; unset: all of it. Within `fit` only. Throws Error when there are no
/// training data, and for a task with several optimizers, whose step can't be told what it is for.
void refresh_batch_norm(Trainer& trainer, const std::optional<Limit>& batches = {});

}  // namespace athanor
