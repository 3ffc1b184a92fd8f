// SPDX-License-Identifier: Apache-2.0
// Several listeners told as one, so that none of them can end a run.
#pragma once

#include <cstddef>
#include <string>

#include "athanor/train/events.hpp"

namespace athanor {

/// Tells each event to all of its listeners, in their order. One that throws is told nothing more; the others get a
/// warning with its name and what it threw. Never throws. For one thread.
class ListenerGroup : public Listener {
 public:
  /// Null pointers are left out.
  explicit ListenerGroup(Listeners listeners);

  void on_run_begin(const events::RunBegin& event) override;
  void on_stage_begin(const events::StageBegin& event) override;
  void on_progress(const events::Progress& event) override;
  void on_step(const events::Step& event) override;
  void on_epoch_end(const events::EpochEnd& event) override;
  void on_message(const events::Message& event) override;
  /// Before it, the remarks of all listeners are told as messages; those that are new after it as warnings.
  void on_run_end(const events::RunEnd& event) override;
  void on_media(const events::Media& event) override;
  /// Remarks that are new after it are told as warnings.
  void on_run_broken(const events::RunBroken& event) override;
  /// As on_run_broken.
  void on_evaluation(const events::Evaluation& event) override;
  void on_saving(const events::Saving& event) override;

 private:
  template <class Event>
  void tell(const Event& event, void (Listener::*hook)(const Event&));
  void switch_off(size_t index, const std::string& reason);
  [[nodiscard]] std::vector<std::string> remarks();
  void tell_new_remarks(const std::vector<std::string>& before);

  Listeners listeners_;  // null: switched off
};

/// The listeners as a group; none when there are none.
[[nodiscard]] Listeners guarded(Listeners listeners);

}  // namespace athanor
