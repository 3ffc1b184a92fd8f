// SPDX-License-Identifier: Apache-2.0
// Everything that can go wrong is tried before the first step.
#pragma once

#include "athanor/train/trainer.hpp"

namespace athanor {

/// Runs the first training and validation batch through the task in eval mode without gradients, on copies of the
/// metrics: mistakes in data, shapes, dtypes, labels and losses show before anything was changed, and the names of the
/// values are known.
class Rehearsal {
 public:
  Rehearsal(Trainer& trainer, const Loader& train, const Loader* validation, const std::string& validation_name);
  void run();

 private:
  void pass(const Loader& loader, Stage stage, const std::string& prefix, const Metrics& metrics);

  Trainer& trainer_;
  const Loader& train_;
  const Loader* validation_;
  const std::string& validation_name_;
};

}  // namespace athanor
