// SPDX-License-Identifier: Apache-2.0
// Everything that can be said about a run.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/duration.hpp"
#include "athanor/core/host.hpp"
#include "athanor/data/limit.hpp"
#include "athanor/optim/clip.hpp"
#include "athanor/optim/loss_scaler.hpp"
#include "athanor/train/callback.hpp"
#include "athanor/train/display.hpp"
#include "athanor/train/non_finite.hpp"
#include "athanor/train/penalty.hpp"
#include "athanor/train/precision.hpp"
#include "athanor/train/profile_steps.hpp"
#include "athanor/train/resume.hpp"

namespace athanor {

/// Micro-batches that one optimizer step is made of: a number, or one that changes: `{{1, 1}, {5, 4}}` is 1 from the
/// first epoch on and 4 from the fifth on. The gradient is that of the mean over all samples of the window, also where
/// batches differ in size and where the last window of an epoch is short.
class Accumulation {
 public:
  Accumulation(int64_t batches);
  Accumulation(std::initializer_list<std::pair<int64_t, int64_t>> by_epoch);
  [[nodiscard]] int64_t at(int64_t epoch) const;
  /// Throws Error for a number below 1.
  void check() const;
  /// `4`, `1:1,5:4`; `parse` reads the same. Throws Error.
  [[nodiscard]] std::string describe() const;
  [[nodiscard]] static Accumulation parse(std::string_view text);

 private:
  explicit Accumulation(std::vector<std::pair<int64_t, int64_t>> by_epoch);
  std::vector<std::pair<int64_t, int64_t>> by_epoch_;  // from which epoch on, in ascending order
};

struct TrainerOptions {
  // ---- how long
  /// How long one call of `fit` trains.
  Duration max_duration = Duration::epochs(10);
  /// Requests to stop wait until so much was trained.
  std::optional<Duration> min_duration = {};
  /// Wall time after which the call ends, whatever `max_duration` says: `2_hours`.
  std::optional<Duration> max_time = {};

  // ---- data
  /// For data that are given as tensors or data sets; a Loader keeps its own options.
  int64_t batch_size = 32;
  bool shuffle = true;
  /// Everything random is a function of this number: order, augmentation, dropout.
  uint64_t seed = 0;
  /// Passes are cut off: `100` batches, or `0.1` of them.
  std::optional<Limit> train_batches = {};
  std::optional<Limit> validation_batches = {};
  std::optional<Limit> test_batches = {};
  std::optional<Limit> predict_batches = {};
  /// Only so many batches of training and validation, one epoch, no run folder and no trackers: does it run at all?
  std::optional<int64_t> fast_dev_run = {};
  /// Trains on the same few batches in every epoch, without shuffling, and validates on them: can it learn at all?
  std::optional<Limit> overfit_batches = {};

  // ---- the update
  /// Micro-batches of one optimizer step.
  Accumulation accumulate = 1;
  /// Clipping for optimizers that have none of their own.
  std::optional<Clip> clip = {};
  std::vector<Penalty> penalties{};
  Precision precision = Precision::float32;
  /// For float16.
  LossScalerOptions scaler = {};
  /// Nets and images (N, C, H, W) with the channels last in memory: faster for convolutions, most of all in bf16.
  bool channels_last = false;
  /// What is done about a loss or a gradient that is NaN or infinite.
  NonFiniteOptions non_finite = {};
  /// Runs a batch that does not fit into memory again in halves, and goes on so. The effective batch stays the same;
  /// for a net without BatchNorm and dropout the result too, to rounding.
  bool split_when_out_of_memory = true;

  // ---- validation
  /// `1_epochs`, `0.25_epochs`, `500_steps`, `10_minutes`.
  Duration validate_every = Duration::epochs(1);
  /// Validates before the first step, as epoch 0 of the history.
  bool validate_first = false;
  /// With several validation data: their values taken together, under `val_`.
  bool pool_validation = false;
  /// Batches of each loader that are tried before the first step.
  int64_t rehearsal_batches = 1;

  Callbacks callbacks = {};

  // ---- checks that cost time
  /// Only algorithms that give the same bits every time; an operator without one throws.
  bool deterministic = false;
  /// Looks at the output of every operator for NaN and infinity, names the layer, and throws. Several times slower.
  bool detect_anomaly = false;

  // ---- what is kept and shown
  /// Folder of the run: run.json, history.csv, curves.svg, best.safetensors. Made when missing; a folder that holds
  /// something is never written over, the next free name is taken (`fashion-2`). Unset: nothing is written.
  std::optional<std::filesystem::path> run = {};
  /// Whether `fit` goes on from a checkpoint. With Resume::automatic() the folder of the run is taken as it is: the
  /// same program, started again, continues. `Checkpoints` (callbacks/checkpoints.hpp) write them; a run with a folder
  /// and with this or `host.signals` has them by itself.
  Resume resume = {};
  Verbosity verbosity = Verbosity::normal;
  /// How often values of a single step go to trackers.
  Duration log_every = Duration::steps(50);
  /// Further listeners, behind the standard ones.
  Listeners track = {};
  /// Lines for the header, name and value.
  std::vector<std::pair<std::string, std::string>> header{};

  // ---- performance
  /// `auto` (CUDA where there is any, else the CPU), `cpu`, `cuda`, `cuda:1`.
  std::string device = "auto";
  /// Background threads that prepare training batches.
  int workers = 0;
  HostOptions host = {};
  /// `steps(20)`: so many steps of each call of `fit` are profiled, after the first 5, as by a callback `Profile`
  /// (callbacks/profile.hpp), whose files lie in `profile` in the folder of the run. A Profile among the callbacks
  /// counts instead of this.
  ProfileSteps profile = {};

  // ---- the standard console
  /// Decimals of its values.
  int digits = 4;
  /// Where it writes. Null: std::cout. It must live as long as the run.
  std::ostream* stream = nullptr;
};

/// What the standard console of these options does.
[[nodiscard]] DisplayOptions display_of(const TrainerOptions& options) noexcept;

/// Throws Error for what is out of range or clashes.
void check(const TrainerOptions& options);

}  // namespace athanor
