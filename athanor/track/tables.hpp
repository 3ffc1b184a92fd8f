// SPDX-License-Identifier: Apache-2.0
// Trackers that write one growing file: a table for spreadsheets and pandas, JSON for everything else.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>

#include "athanor/train/events.hpp"

namespace athanor::track {

/// Of `csv` and `json_lines`.
struct FileOptions {
  /// Unset: `scalars.csv` or `events.jsonl` in the folder of the run; a run that has none is an Error then.
  std::optional<std::filesystem::path> path = {};
  /// What was written is handed to the system after this time at the latest, at the end of each epoch, and before a
  /// checkpoint is there.
  std::chrono::milliseconds flush_every{2000};
  /// The memory of events that wait to be written. When it is full, the step waits and the end of the run says so.
  size_t queue_bytes = size_t{16} << 20;
};

/// A row for each value: `time,kind,epoch,step,samples,name,value`. `kind` is `step`, `epoch`, or `evaluation` for
/// `evaluate` outside of `fit`; `time` is in seconds since 1970; `epoch` is 1.5 in the middle of the second; `samples`
/// is empty but for steps. Numbers have all their digits; NaN and infinity are `nan`, `inf`, `-inf`, as pandas reads
/// them. Names with commas, quotes or line ends are quoted (RFC 4180). A file that exists is continued; when a run goes
/// on, what its last session wrote behind the step where it goes on is cut off, with a last line that was torn; so is,
/// in the folder of the run, what it wrote before it was killed without a checkpoint and begins again. Rows do not tell
/// whose they are: give each run a `path` of its own, or what one of them cuts off may be another's. Writes on a thread
/// of its own, without loss; an unwritable file and a full disk switch it off, with a warning.
[[nodiscard]] std::shared_ptr<Listener> csv(FileOptions options = {});

/// One JSON object a line, for each event:
/// `{"event":"step","time":…,"epoch":1,"step":50,"samples":3200,"values":{"train_loss":0.5}}`. The events are
/// `run_begin`, `step`, `epoch`, `evaluation`, `message`, `text`, `run_end`, `run_broken`. JSON has no NaN and no
/// infinity: they are the strings
/// `"NaN"`, `"Infinity"`, `"-Infinity"`, which `float()` of Python and `Number()` of JavaScript turn back. Everything
/// else is as for `csv`.
[[nodiscard]] std::shared_ptr<Listener> json_lines(FileOptions options = {});

}  // namespace athanor::track
