// SPDX-License-Identifier: Apache-2.0
// Finds what was not finite, and does about it what was declared.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/tree.hpp"
#include "athanor/train/non_finite.hpp"

namespace athanor {

class State;
class StepContext;
class Trainer;
struct Batch;
struct UpdateResult;

/// Carries out the policy. The step itself is left out by Update, at once and on the device; what happened is found
/// here, on the CPU in the same step, elsewhere at intervals, without waiting in every step.
class NonFiniteGuard {
 public:
  explicit NonFiniteGuard(Trainer& trainer) : trainer_(trainer) {}
  void configure(const NonFiniteOptions& options) { options_ = options; }
  /// Forgets what another task did.
  void reset();

  /// With `roll_back`: keeps the state.
  void keep();
  /// Takes note of an update. True when the run went back, so that batches are to be fetched again.
  bool after_update(const UpdateResult& result, std::span<const Batch> window, const StepContext& context);
  /// Reads what the device has found since the last call.
  bool poll();
  /// Whether a batch is to be left out, because the run went back over it.
  [[nodiscard]] bool leaves_out(int64_t epoch, int64_t batch) const;
  [[nodiscard]] int64_t found() const noexcept { return found_; }
  void state(State& state);

 private:
  struct Note {
    int64_t epoch;
    int64_t step;
    int64_t batch;
    std::vector<at::Tensor> indices;
    at::Tensor flag;
    std::string layer;
  };
  bool react(const Note& note);

  Trainer& trainer_;
  NonFiniteOptions options_;
  std::vector<Note> notes_;  // not read yet
  std::vector<std::pair<int64_t, int64_t>> left_out_;
  int64_t found_ = 0;
  Tree good_;  // part of the state too: a resumed run goes back to the same place
  Elapsed kept_;
  bool within_ = false;  // the state that is being saved or loaded is the good one
};

}  // namespace athanor
