// SPDX-License-Identifier: Apache-2.0
// Everything that can go wrong is tried before the first step.
#pragma once

#include "athanor/train/layer_sight.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

/// Runs the first batches of every loader through the task in eval mode without gradients, on metrics of their own:
/// mistakes in data, shapes, dtypes, labels and losses show before anything was changed, and the names of the values
/// are known.
class Rehearsal {
 public:
  /// The first of these passes that runs a layer is shown to `sight`, unless it is null.
  Rehearsal(Trainer& trainer, const Loader& train, const Feed& train_feed, const std::vector<Feed>& validation,
            LayerSight* sight);
  void run();

 private:
  void pass(const Loader& loader, const Feed& feed, Stage stage, const std::string& prefix);

  Trainer& trainer_;
  const Loader& train_;
  const Feed& train_feed_;
  const std::vector<Feed>& validation_;
  LayerSight* sight_;
};

}  // namespace athanor
