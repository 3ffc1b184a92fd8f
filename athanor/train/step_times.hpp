// SPDX-License-Identifier: Apache-2.0
// Where the time of training goes.
//
//     std::cout << trainer.step_times().describe();
//     //  forward     41 %    163.1 us a step
//     //  backward    33 %    131.2 us a step
//     //  …
//     //  data are waited for in 3 % of the time: the net is what takes it
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

namespace athanor {

/// A part of a step, in the order of the table.
enum class StepPhase {
  data,      ///< Waiting for the next batch.
  transfer,  ///< To the device, to another dtype or memory format.
  forward,
  backward,
  optimizer,  ///< Search for NaN, clipping, step, schedule.
  metrics,    ///< Losses, metrics and logged values of the step.
  callbacks,
  logging,     ///< Bar and trackers.
  validation,  ///< With everything around it but saving.
  saving,      ///< What saving takes on the training thread.
  other,       ///< The rest, such as what a loop of the caller's own does.
  count_
};
[[nodiscard]] const char* name_of(StepPhase phase) noexcept;

/// A stop-watch that is always on: each `lap` gives the time since the last one to a phase, which costs one reading of
/// the clock, some 30 ns. On a GPU this is the time of the host: kernels that were only launched count where they are
/// waited for.
class StepTimes {
 public:
  /// What lies between two calls of `fit` is nobody's time.
  void begin() noexcept { last_ = Clock::now(); }
  void lap(StepPhase phase) noexcept {
    const Clock::time_point now = Clock::now();
    seconds_[static_cast<size_t>(phase)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }
  /// Gives the time since the last lap to `before`, and the time until its end to `phase`.
  class Scope {
   public:
    Scope(StepTimes& times, StepPhase phase, StepPhase before) noexcept : times_(times), phase_(phase) {
      times_.lap(before);
    }
    ~Scope() { times_.lap(phase_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    StepTimes& times_;
    StepPhase phase_;
  };
  void count_step(int64_t samples) noexcept {
    steps_ += 1;
    samples_ += samples;
  }

  [[nodiscard]] int64_t steps() const noexcept { return steps_; }
  [[nodiscard]] double seconds(StepPhase phase) const noexcept { return seconds_[static_cast<size_t>(phase)]; }
  [[nodiscard]] double total_seconds() const noexcept;
  /// 0 before the first step.
  [[nodiscard]] double share(StepPhase phase) const noexcept;
  /// In training, validation and saving apart; 0 before the first step.
  [[nodiscard]] double samples_per_second() const noexcept;
  [[nodiscard]] double steps_per_second() const noexcept;

  /// A line for each phase that took time, and the verdict.
  [[nodiscard]] std::string describe() const;
  /// A sentence: what takes the time, and what to do about it when it is not the net.
  [[nodiscard]] std::string verdict() const;
  void reset() noexcept { *this = StepTimes(); }

 private:
  using Clock = std::chrono::steady_clock;
  [[nodiscard]] double in_steps() const noexcept;

  std::array<double, static_cast<size_t>(StepPhase::count_)> seconds_{};
  int64_t steps_ = 0;
  int64_t samples_ = 0;
  Clock::time_point last_ = Clock::now();
};

}  // namespace athanor
