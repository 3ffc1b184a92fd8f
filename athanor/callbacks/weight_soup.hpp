// SPDX-License-Identifier: Apache-2.0
// The mean of the weights of the last checks.
#pragma once

#include <cstdint>
#include <vector>

#include "athanor/callbacks/weight_average.hpp"

namespace athanor {

struct WeightSoupOptions {
  int64_t last = 5;  ///< So many checks are averaged; each takes a copy of the weights.
  AveragedBuffers buffers = AveragedBuffers::averaged;
  /// With `refreshed`: how much of the training data; unset: all of it.
  std::optional<Limit> refresh_batches = {};
};

/// When fit ends, the nets get the equally weighted mean of the weights that they had at the last checks (Wortsman et
/// al., 2022). In the list of callbacks it stands before KeepBest.
class WeightSoup {
 public:
  /// Throws Error for fewer than one check.
  explicit WeightSoup(WeightSoupOptions options = {});
  void on_check(Trainer& trainer);
  void on_fit_end(Trainer& trainer);
  void state(State& state);

 private:
  WeightSoupOptions options_;
  std::vector<Tree> kept_;  // the oldest first
};

}  // namespace athanor
