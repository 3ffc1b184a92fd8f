// SPDX-License-Identifier: Apache-2.0
// athanor watch: the live page of the runs in a folder, without the programs that train them.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace athanor::command {

struct WatchOptions {
  std::filesystem::path folder = "runs";  ///< A run folder, or a folder with runs in it, three levels deep at most.
  int port = 6007;                        ///< On 127.0.0.1; when it is taken the next ones are tried. 0: any.
};

/// Serves the page until SIGINT or SIGTERM, then returns 0. `say` gets a line with the address. Throws Error when there
/// is no such folder and when no port can be had.
int watch(const WatchOptions& options, const std::function<void(const std::string& line)>& say);

}  // namespace athanor::command
