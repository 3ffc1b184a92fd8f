// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/step_times.hpp"

#include <fmt/format.h>

#include <numeric>

namespace athanor {
namespace {

constexpr std::array<const char*, static_cast<size_t>(StepPhase::count_)> phase_names = {
    "data",      "transfer", "forward",    "backward", "optimizer", "metrics",
    "callbacks", "logging",  "validation", "saving",   "other"};

}  // namespace

const char* name_of(StepPhase phase) noexcept { return phase_names[static_cast<size_t>(phase)]; }

double StepTimes::total_seconds() const noexcept { return std::accumulate(seconds_.begin(), seconds_.end(), 0.0); }

double StepTimes::share(StepPhase phase) const noexcept {
  const double total = total_seconds();
  return total > 0 ? seconds(phase) / total : 0;
}

double StepTimes::in_steps() const noexcept {
  return total_seconds() - seconds(StepPhase::validation) - seconds(StepPhase::saving);
}

double StepTimes::samples_per_second() const noexcept {
  return steps_ > 0 && in_steps() > 0 ? static_cast<double>(samples_) / in_steps() : 0;
}

double StepTimes::steps_per_second() const noexcept {
  return steps_ > 0 && in_steps() > 0 ? static_cast<double>(steps_) / in_steps() : 0;
}

std::string StepTimes::describe() const {
  std::string text;
  for (size_t i = 0; i < seconds_.size(); ++i) {
    const auto phase = static_cast<StepPhase>(i);
    if (share(phase) < 0.0005) continue;
    const bool per_step = phase != StepPhase::validation && phase != StepPhase::saving && steps_ > 0;
    text += fmt::format("{:<11}{:>5.1f} %  ", phase_names[i], 100 * share(phase));
    text += per_step ? fmt::format("{:>10.1f} us a step\n", 1e6 * seconds_[i] / static_cast<double>(steps_))
                     : fmt::format("{:>10.2f} s\n", seconds_[i]);
  }
  return text + verdict() + "\n";
}

std::string StepTimes::verdict() const {
  if (steps_ == 0) return "no step was made yet";
  const auto percent = [&](StepPhase phase) { return fmt::format("{:.0f} %", 100 * share(phase)); };
  struct Advice {
    StepPhase phase;
    double much;
    const char* text;
  };
  static constexpr std::array advice = {
      Advice{StepPhase::data, 0.15, "of the time is waiting for data: give the loader workers, or cheaper samples"},
      Advice{StepPhase::transfer, 0.15, "of the time is moving batches: keep the data on the device, or in its dtype"},
      Advice{StepPhase::saving, 0.1, "of the time is saving: save less often"},
      Advice{StepPhase::validation, 0.4, "of the time is validation: validate less often, or fewer batches"},
      Advice{StepPhase::logging, 0.1, "of the time is showing and logging: log less often"},
      Advice{StepPhase::callbacks, 0.1, "of the time is in callbacks: call them less often"},
      Advice{StepPhase::metrics, 0.15, "of the time is in metrics: leave them to validation"},
      Advice{StepPhase::other, 0.3, "of the time is outside of the steps, in the loop around them"},
  };
  const Advice* worst = nullptr;
  for (const Advice& each : advice) {
    if (share(each.phase) >= each.much && (worst == nullptr || share(each.phase) > share(worst->phase))) worst = &each;
  }
  if (worst != nullptr) return percent(worst->phase) + " " + worst->text;
  const double net = share(StepPhase::forward) + share(StepPhase::backward);
  if (share(StepPhase::optimizer) > net) {
    return percent(StepPhase::optimizer) + " of the time is the optimizer: larger batches, or accumulate";
  }
  return fmt::format("{:.0f} % of the time is the net itself", 100 * net);
}

}  // namespace athanor
