// SPDX-License-Identifier: Apache-2.0
// The samples that a model does best and worst on.
//
//     auto top = std::make_shared<athanor::TopSamples>(athanor::loss::cross_entropy);
//     model.fit(train, {.validation = test, .callbacks = {top}});
//     for (const athanor::RankedSample& sample : top->ranking().worst) show(sample.index, sample.value, sample.input);
#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/callbacks/evaluated_once.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

struct TopSamplesOptions {
  /// How many of the best, and how many of the worst, are kept. Their inputs, predictions and targets lie in the
  /// memory of the host, those of no other sample do.
  int64_t k = 10;
  /// The passes that are looked at. In training the values are those of the weights of each step.
  std::vector<Stage> stages = {Stage::validation, Stage::test};
  /// Whether small values are good, as of a loss (`down`), or large ones (`up`).
  Direction better = Direction::down;
};

/// One sample as the step saw it, without the batch dimension, on the CPU.
struct RankedSample {
  int64_t index = 0;  ///< Batch::indices: its place in the data set.
  int32_t part = 0;   ///< Batch::part: which part of a combined loader.
  double value = 0;
  Tree input = {};
  Tree prediction = {};
  Tree target = {};
};

/// One pass.
struct SampleRanking {
  /// The best first; of equal values the smaller (part, index) first. NaN is last.
  std::vector<RankedSample> best{};
  /// The worst first: NaN before everything; of equal values the smaller (part, index) first.
  std::vector<RankedSample> worst{};
  int64_t epoch = 0;         ///< 0 outside of `fit`.
  int64_t samples = 0;       ///< Seen in this pass.
  int64_t not_a_number = 0;  ///< How many of them have the value NaN.
};

/// Ranks the samples of each pass by a value of each sample. Reads the values of every batch, which waits for the
/// device. NaN counts as worst, and a warning tells how many there are.
///
/// A sample that a pass meets twice (a sampler with replacement) is ranked twice. In training the first evaluation of
/// a sample within an update counts, for an optimizer that evaluates again and for several optimizers. Behind a
/// callback that changes batches (MixSamples) the samples are the changed ones.
class TopSamples {
 public:
  /// (batch, output of the step) -> (N), any real dtype, on any device.
  using Value = std::function<at::Tensor(const Batch&, const StepOutput&)>;

  /// Throws Error for `k` below 1, no stage, and a direction that is unknown.
  explicit TopSamples(Value value, TopSamplesOptions options = {});

  /// A loss with `by_element(predictions, target)`, as all of athanor::loss have: its mean over the elements of a
  /// sample. It gets the first tensors, and the target that metrics compare with.
  template <class Loss>
  requires requires(const Loss& loss, const at::Tensor& tensor) {
    { loss.by_element(tensor, tensor) } -> std::convertible_to<at::Tensor>;
  }
  explicit TopSamples(Loss loss, TopSamplesOptions options = {})
      : TopSamples(per_sample([loss](const at::Tensor& predictions, const at::Tensor& target) {
                     return loss.by_element(predictions, target);
                   }),
                   std::move(options)) {}

  /// The latest pass of that stage, finished or running. With several data of one stage name them. Throws Error when
  /// there was no such pass.
  [[nodiscard]] const SampleRanking& ranking(Stage stage, std::string_view loader = {}) const;
  /// The same of the first of `stages` that has one.
  [[nodiscard]] const SampleRanking& ranking() const;

  // ---- hooks
  /// Throws Error that names both numbers for data of fewer than `k` samples: before the first step, or where their
  /// number can't be known then, at the end of their pass.
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  void on(Trainer& trainer, MomentInfo& info);
  void state(State& state);
  static constexpr bool several = true;

 private:
  struct RankedPass {
    Stage stage;
    std::string loader;
    SampleRanking ranking;
  };
  using ByElement = std::function<at::Tensor(const at::Tensor& predictions, const at::Tensor& target)>;
  static Value per_sample(ByElement by_element);

  [[nodiscard]] bool looks_at(Stage stage) const noexcept;
  [[nodiscard]] const RankedPass* find(Stage stage, std::string_view loader) const;
  SampleRanking& begin(Stage stage, std::string_view loader, int64_t epoch);
  SampleRanking& running(Stage stage, std::string_view loader, int64_t epoch);
  void take(SampleRanking& ranking, const Batch& batch, const StepOutput& output) const;
  void require_enough(std::optional<int64_t> samples, Stage stage, std::string_view loader) const;
  void conclude(const RankedPass& pass, Trainer& trainer) const;

  Value value_;
  TopSamplesOptions options_;
  std::vector<RankedPass> passes_;  // the last one of each stage and name
  detail::EvaluatedOnce once_;
};

}  // namespace athanor
