// SPDX-License-Identifier: Apache-2.0
// Averages of the weights of many updates, which often judge better than the weights of the last one.
//
//     model.fit(train, {.validation = test, .callbacks = {athanor::Ema({.decay = 0.999})}});
//     trainer_options.callbacks = {athanor::Swa({.start = 15_epochs}), athanor::KeepBest()};
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "athanor/data/limit.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

/// What buffers, the statistics of BatchNorm above all, are while averaged weights are in the nets.
enum class AveragedBuffers {
  live,       ///< Those of the weights in training, as torch's AveragedModel has them.
  averaged,   ///< Averaged as the weights are; integers are taken as they are.
  refreshed,  ///< BatchNorm's computed again by a pass over training data; see refresh_batch_norm.
};
[[nodiscard]] std::span<const std::pair<const char*, AveragedBuffers>> enum_names(AveragedBuffers) noexcept;

/// Where and when averaged weights are used.
struct AverageUse {
  /// Whether validation within fit judges them. The values of the epoch are theirs then, and KeepBest keeps them; the
  /// weights in training are put back bit for bit before the next step.
  bool in_validation = true;
  /// Whether they are in the nets when fit returns. In the list of callbacks this stands before KeepBest, which then
  /// has the last word.
  bool at_end = true;
  AveragedBuffers buffers = AveragedBuffers::live;
  /// With `refreshed`: how much of the training data; unset: all of it.
  std::optional<Limit> refresh_batches = {};
};

/// What Ema and Swa share. An average takes one copy of the weights, and a second one while it is in the nets; weights
/// of float16 and bfloat16 are averaged in float32. Throws Error before the first step as refresh_batch_norm does.
class WeightAverage {
 public:
  /// Updates that are in the average.
  [[nodiscard]] int64_t count() const noexcept { return count_; }
  /// The average by name: parameters, and buffers where they are averaged too. Empty before the first update is in it.
  [[nodiscard]] NamedTensors tensors() const;

  void on_fit_begin(Trainer& trainer);
  void on_check_begin(Trainer& trainer);
  void on_check_end(Trainer& trainer);
  void on_fit_end(Trainer& trainer);
  void on_exception(Trainer& trainer);
  void state(State& state);

 protected:
  explicit WeightAverage(AverageUse use) : use_(use) {}
  /// average += share * (weights - average); the first time it is a copy.
  void take(double share);

 private:
  void put_in(Trainer& trainer);
  void put_back();

  AverageUse use_;
  NamedTensors live_;                  // of the nets
  std::vector<at::Tensor> averages_;   // in the order of live_
  std::vector<at::Tensor> set_aside_;  // the weights in training, while the average is in the nets
  std::vector<std::string> names_;
  size_t parameters_ = 0;  // the first so many of live_
  int64_t count_ = 0;
  bool in_use_ = false;
};

struct EmaOptions {
  /// Share of the old average in the new one, from 0 to below 1.
  double decay = 0.999;
  /// Whether early averages forget sooner: the decay of update n, from 0 on, is at most (1 + n) / (10 + n).
  bool warm_up = false;
  Duration every = Duration::steps(1);
  AverageUse use = {};
};

/// Exponential moving average of the weights (Polyak & Juditsky, 1992), as `torch.optim.swa_utils` with
/// `get_ema_multi_avg_fn`: the first update is copied. An update that was left out because it was not finite is not
/// averaged.
class Ema : public WeightAverage {
 public:
  /// Throws Error for a decay out of range and an interval of nothing.
  explicit Ema(EmaOptions options = {});
  void on_step_end(Trainer& trainer);

 private:
  EmaOptions options_;
};

struct SwaOptions {
  /// Averaging begins here; unset: after three quarters of the run, whose length has to be known in epochs or steps.
  std::optional<Duration> start = {};
  Duration every = Duration::epochs(1);
  /// The learning rate that every group has at last, reached in the course of `anneal` from `start` on, along a cosine.
  /// Unset: the learning rate is left alone, as it must be where a schedule changes it.
  std::optional<double> lr = {};
  /// In epochs or steps; the rate changes at whole ones, as `torch.optim.swa_utils.SWALR` does per epoch.
  Duration anneal = Duration::epochs(10);
  AverageUse use = {.buffers = AveragedBuffers::refreshed};
};

/// Stochastic weight averaging (Izmailov et al., 2018): the equally weighted mean of the weights at the end of late
/// epochs, at a constant, rather high learning rate.
class Swa : public WeightAverage {
 public:
  /// Throws Error for options out of range.
  explicit Swa(SwaOptions options = {});
  /// Throws Error as WeightAverage does, when the length of the run is needed and not known, and when `lr` meets a
  /// schedule.
  void on_fit_begin(Trainer& trainer);
  void on_step_end(Trainer& trainer);
  void state(State& state);

 private:
  void anneal(Trainer& trainer);

  SwaOptions options_;
  Duration start_ = Duration::steps(0);
  Tree base_lrs_ = Tree::List{};  // of every group of every optimizer, when averaging began
  Elapsed began_;
};

}  // namespace athanor
