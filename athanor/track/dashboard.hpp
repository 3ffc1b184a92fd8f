// SPDX-License-Identifier: Apache-2.0
// The live page of a run, in a browser.
//
//     .run = "runs/fashion", .track = {athanor::track::dashboard()}
//     //  live page: http://127.0.0.1:6007/#token=8d0c…
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "athanor/train/events.hpp"

namespace athanor::track {

struct DashboardOptions {
  /// The first port that is tried on 127.0.0.1; when it is taken the next ones are. 0: any that is free.
  int port = 6007;
  /// The folder whose runs can be compared with this one. Unset: the folder that the run folder lies in.
  std::optional<std::filesystem::path> runs = {};
  /// The memory of events that wait to be written. When it is full, the step waits and the end of the run says so.
  size_t queue_bytes = size_t{16} << 20;
};

/// Shows the run on a page, live, while it trains and until the program ends: curves, learning rates, gradient norms,
/// throughput, memory, times, messages, options, pictures; with the earlier runs of the same folder to compare, and
/// with buttons to stop and to save. The address is a message of the run. What is shown lies in `points.bin` in the run
/// folder (points_file.hpp); a run without a folder gets a temporary one, which goes with the program's listener.
///
/// Costs the step the copy of an event; everything else is done on threads of its own, reading only while a page is
/// open. When the page can't be served, the run goes on without it, with a warning.
///
/// Saving needs a `Checkpoints` in the run; the page says when there is none.
[[nodiscard]] std::shared_ptr<Listener> dashboard(DashboardOptions options = {});

}  // namespace athanor::track
