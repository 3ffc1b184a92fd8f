// SPDX-License-Identifier: Apache-2.0
// Steps whose loss stands out.
#pragma once

#include <cstdint>
#include <vector>

#include "athanor/train/trainer.hpp"

namespace athanor {

struct LossSpikesOptions {
  int64_t window = 100;   ///< Losses of so many last steps say what is usual; at least 10.
  double deviations = 8;  ///< A spike is so many robust standard deviations above the median of the window.
  /// How often losses are read. On the CPU that costs nothing; on a GPU each time waits for the device.
  Duration read_every = Duration::steps(50);
};

/// Finds steps whose loss is far above what was usual, says so by a message with epoch, step and sample indices, and
/// keeps them. Usual is the median of the window, its deviation 1.4826 times the median distance from it, so that a
/// spike does not hide the next one. Losses that are not finite are no spikes: they have a policy of their own
/// (TrainerOptions::non_finite).
class LossSpikes {
 public:
  struct Spike {
    int64_t epoch = 0;
    int64_t step = 0;  ///< From 1 on.
    double loss = 0;
    double usual = 0;         ///< The median before it.
    at::Tensor indices = {};  ///< int64 (samples), on the CPU; undefined when the data are not numbered.
  };

  /// Throws Error for options out of range.
  explicit LossSpikes(LossSpikesOptions options = {});
  /// Those that were found since the trainer's run began, or since it was resumed.
  [[nodiscard]] const std::vector<Spike>& spikes() const noexcept { return spikes_; }

  void on_train_batch_end(Trainer& trainer, MomentInfo& info);
  void on_step_end(Trainer& trainer);
  void on_fit_end(Trainer& trainer) { read(trainer); }
  void state(State& state);

 private:
  void read(Trainer& trainer);

  LossSpikesOptions options_;
  struct Waiting {
    at::Tensor loss, indices;
    int64_t epoch, step;
  };
  std::vector<Waiting> waiting_;
  std::vector<double> window_;  // a ring
  size_t next_ = 0;
  std::vector<Spike> spikes_;
};

}  // namespace athanor
