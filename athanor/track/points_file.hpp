// SPDX-License-Identifier: Apache-2.0
// The writer of points.bin, whose format is told in points_format.hpp.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "athanor/core/owned.hpp"
#include "athanor/train/events.hpp"
#include "athanor/train/step_times.hpp"

namespace athanor::track {

/// Values that the writer gives to the name of a step's values, for what a step does not say: when it was.
inline constexpr const char* points_time_name = "\x01time";

/// Writes that file. Meant to be put on a thread; `offer_times` alone may be called from another one.
class PointsWriter : public Listener {
 public:
  /// Unset: `points.bin` in the folder of the run; a run that has none is an Error then.
  explicit PointsWriter(std::optional<std::filesystem::path> file = {});
  ~PointsWriter() override;

  void on_run_begin(const events::RunBegin& run) override;
  void on_stage_begin(const events::StageBegin& begin) override;
  void on_progress(const events::Progress& progress) override;
  void on_step(const events::Step& step) override;
  void on_epoch_end(const events::EpochEnd& end) override;
  void on_message(const events::Message& message) override;
  void on_media(const events::Media& media) override;
  void on_saving(const events::Saving& saving) override;
  void on_run_end(const events::RunEnd& end) override;
  void on_run_broken(const events::RunBroken& broken) override;
  [[nodiscard]] std::string name() const override { return "the points of the live page"; }

  /// The latest breakdown of the time, written with the next epoch and at the end.
  void offer_times(const StepTimes& times);

 private:
  struct Impl;
  Owned<Impl> impl_;
};

/// What the live page needs of a run, without a page: `points.bin` in the run folder, for `athanor watch` in another
/// process or later. Writes on a thread of its own, without loss; at most 16 MiB of events wait.
[[nodiscard]] std::shared_ptr<Listener> points();

}  // namespace athanor::track
