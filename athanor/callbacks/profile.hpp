// SPDX-License-Identifier: Apache-2.0
// Which operators take the time of a few steps.
//
//     model.fit(train, {.run = "runs/fashion", .profile = athanor::steps(20)});    // the usual way
//
//     auto profile = std::make_shared<athanor::Profile>(athanor::ProfileOptions{.steps = 20});
//     model.fit(train, {.run = "runs/fashion", .callbacks = {profile}});
//     std::cout << profile->report().text();        // and runs/fashion/profile/trace.json for ui.perfetto.dev
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "athanor/callbacks/profile_report.hpp"
#include "athanor/callbacks/span_recorder.hpp"
#include "athanor/core/owned.hpp"
#include "athanor/train/callback.hpp"

namespace athanor {

struct ProfileOptions {
  int64_t steps = 20;  ///< How many are recorded.
  /// How many steps of a call of `fit` come before: the first ones are slower.
  int64_t skip = 5;
  /// Where `trace.json` and `operators.txt` go; made when it is missing. Unset: `profile` in the folder of the run, or
  /// nowhere when it has none.
  std::optional<std::filesystem::path> folder = {};
  /// Whether operators are told apart by the shapes of their inputs. Makes recording dearer.
  bool shapes = false;
  ProfileSource source = ProfileSource::automatic;
  size_t rows = 30;  ///< Of the table in `operators.txt` and at the trackers.
};

/// Records some steps of each call of `fit`, once, and is silent then. A step that is recorded is slower, by what
/// watching each operator takes; all others, and a run without this callback, pay nothing but a comparison at each
/// moment. It changes no number and draws none. It is no part of the run's state.
///
/// Trackers get the table as the text `profile`. When `fit` ends before the steps are done, the report is of those that
/// there were, and a warning says so.
class Profile {
 public:
  /// Throws Error for fewer than one step and a negative `skip`.
  explicit Profile(ProfileOptions options = {});
  ~Profile();
  Profile(Profile&&) noexcept;
  Profile& operator=(Profile&&) noexcept;

  /// Throws Error when no steps were recorded yet.
  [[nodiscard]] const ProfileReport& report() const;
  [[nodiscard]] bool has_report() const noexcept { return report_.steps() > 0; }

  // ---- hooks, on the training thread
  /// Throws Error when the folder can't be written to.
  void on_fit_begin(Trainer& trainer);
  void on_train_begin(Trainer& trainer);
  void on_train_batch_begin(Trainer& trainer);
  void on_forward_begin(Trainer& trainer);
  void on_forward_end(Trainer& trainer);
  void on_backward_begin(Trainer& trainer);
  void on_backward_end(Trainer& trainer);
  void on_optimizer_begin(Trainer& trainer);
  void on_optimizer_end(Trainer& trainer);
  void on_step_end(Trainer& trainer);
  void on_train_end(Trainer& trainer);
  void on_fit_closing(Trainer& trainer);
  void on_exception(Trainer& trainer);

 private:
  void wait_for_data(Trainer& trainer);
  void begin_phase(const char* name);
  void end_phase();
  void finish(Trainer& trainer);

  ProfileOptions options_;
  std::optional<std::filesystem::path> folder_;  // of the running fit
  Owned<SpanRecorder> recorder_;
  ProfileReport report_;
  int64_t seen_ = 0;      // steps of this call of fit
  int64_t recorded_ = 0;  // of them recorded
  bool in_step_ = false;
  bool done_ = false;
};

}  // namespace athanor
