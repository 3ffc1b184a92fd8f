// SPDX-License-Identifier: Apache-2.0
// How a listener may act on the run that it watches: stop it, save it, say something.
#pragma once

#include <memory>
#include <string>

#include "athanor/train/events.hpp"
#include "athanor/train/step_times.hpp"

namespace athanor {

class Trainer;

/// What a run lets others do. Valid until `on_run_end` or `on_run_broken` of the listener that holds it.
class RunControl {
 public:
  virtual ~RunControl();
  /// Ends the run after the running update. From any thread. False: this run can't be stopped from outside.
  virtual bool request_stop(const std::string& reason) noexcept = 0;
  /// Saves the run after the running update. From any thread. False: nobody in this run saves on demand.
  virtual bool request_save() noexcept = 0;
  /// A line for the screen and the logs. On the training thread.
  virtual void message(std::string text) = 0;
  /// Where the time went so far; null where nobody measures it. On the training thread.
  [[nodiscard]] virtual const StepTimes* step_times() const noexcept = 0;
};

/// A listener that acts as well derives from this too. It must be listed itself, not behind another listener.
class Steering {
 public:
  virtual ~Steering();
  /// Called after `on_run_begin`, on the training thread.
  virtual void take_control(std::shared_ptr<RunControl> control) = 0;
};

/// Gives the control to those of `listeners` that steer. What one of them throws becomes a message.
void hand_over(const Listeners& listeners, const std::shared_ptr<RunControl>& control);
/// The same with the control of a trainer's run.
void hand_over(const Listeners& listeners, Trainer& trainer);

/// Saving on demand. A callback that can says so at `fit_begin` and takes it back when the call ends; then
/// `take_save_request` is true once after each request. From any thread; costs one load while nobody asks.
void offer_saving(const Trainer& trainer);
void withdraw_saving(const Trainer& trainer) noexcept;
[[nodiscard]] bool take_save_request(const Trainer& trainer) noexcept;
/// Asks for it. False when nobody in the run offers it.
bool request_save(const Trainer& trainer) noexcept;

}  // namespace athanor
