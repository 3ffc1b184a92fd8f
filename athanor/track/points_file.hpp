// SPDX-License-Identifier: Apache-2.0
// points.bin: everything that the live page shows of a run, in one file that only grows.
//
// A file is a sequence of records, numbers little-endian:
//
//     uint32 length of the content | uint8 kind | content | uint32 CRC-32C of kind and content
//
// | kind | content                                                                                                |
// |------|--------------------------------------------------------------------------------------------------------|
// | 1    | JSON (UTF-8): an event that is rare. `run_begin` also empties the list of names                        |
// | 2    | the next name (UTF-8); the first of a session is number 0                                              |
// | 3    | values of a step: float64 time, int64 step, int64 samples, then uint32 name and float64 value of each  |
// | 4    | a picture: uint32 length of a JSON header, the header, the PNG                                         |
//
// A reader may come at any time, and again later: a record that is not whole yet is left for the next time. What a
// process that was killed left half written, the next one cuts off.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "athanor/track/append_file.hpp"
#include "athanor/train/events.hpp"
#include "athanor/train/step_times.hpp"

namespace athanor::track {

inline constexpr const char* points_file_name = "points.bin";

enum class PointsKind : uint8_t { event = 1, name = 2, step = 3, picture = 4 };

/// The bytes of one record.
[[nodiscard]] std::string points_record(PointsKind kind, std::string_view content);

struct PointsScan {
  size_t bytes = 0;      ///< How many of the bytes were whole records.
  bool damaged = false;  ///< What follows them is no record, and no more bytes will make it one.
};
/// Calls `take` for each whole record; `place` is where its content begins within `bytes`. Content is only valid within
/// the call.
PointsScan scan_points(std::string_view bytes,
                       const std::function<void(PointsKind kind, std::string_view content, size_t place)>& take);

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
  void on_run_end(const events::RunEnd& end) override;
  void on_run_broken(const events::RunBroken& broken) override;
  [[nodiscard]] std::string name() const override { return "the points of the live page"; }

  /// The latest breakdown of the time, written with the next epoch and at the end.
  void offer_times(const StepTimes& times);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What the live page needs of a run, without a page: `points.bin` in the run folder, for `athanor watch` in another
/// process or later. Writes on a thread of its own, without loss; at most 16 MiB of events wait.
[[nodiscard]] std::shared_ptr<Listener> points();

}  // namespace athanor::track
