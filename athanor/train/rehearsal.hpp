// SPDX-License-Identifier: Apache-2.0
// Everything that can go wrong is tried before the first step.
#pragma once

#include <optional>

#include "athanor/train/layer_sight.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

/// Runs the first batches of every loader through the task in eval mode without gradients, on metrics of their own:
/// mistakes in data, shapes, dtypes, labels and losses show before anything was changed, and the names of the values
/// are known.
class Rehearsal {
 public:
  Rehearsal(Trainer& trainer, const Loader& train, const Feed& train_feed, const std::vector<Feed>& validation);
  void run();
  /// Tells the trackers what the first of these passes that ran a layer showed: the table of layers as the text
  /// `summary`, and the net as `graph`. Without trackers nobody looks on, and nothing is told.
  void show_layers();

 private:
  void pass(const Loader& loader, const Feed& feed, Stage stage, const std::string& prefix);

  Trainer& trainer_;
  const Loader& train_;
  const Feed& train_feed_;
  const std::vector<Feed>& validation_;
  std::optional<LayerSight> sight_;
};

}  // namespace athanor
