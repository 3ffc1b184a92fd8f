// SPDX-License-Identifier: Apache-2.0
// The lines of a run, for a log: a file of our own, or the host's.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "athanor/train/events.hpp"

namespace athanor::track {

/// Takes a line without its end, in the order of the run. `warning` for warnings, `info` for everything else.
using LineSink = std::function<void(events::Message::Level level, std::string_view line)>;

/// Gives every line that Verbosity::verbose would show (header, epochs, messages, the end; no bars, no colours) to a
/// host program, on the training thread. With `.verbosity = Verbosity::silent` the host's log is the only place:
///
///     .verbosity = athanor::Verbosity::silent,
///     .track = {athanor::track::lines_to([](auto level, std::string_view line) { host_log(line); })}
///
/// Throws Error for an empty function.
[[nodiscard]] std::shared_ptr<Listener> lines_to(LineSink sink);

/// The same lines in a file, each with the local time (`2026-03-07 14:03:12.345 epoch 1/20 …`), appended, and handed
/// to the system line by line. Every run with a folder has one, `log.txt`. Unset: `log.txt` in the folder of the run; a
/// run that has none writes none. An unwritable file or a full disk switches it off, with a warning.
[[nodiscard]] std::shared_ptr<Listener> log_file(std::optional<std::filesystem::path> path = {});

}  // namespace athanor::track
