// SPDX-License-Identifier: Apache-2.0
// The subcommands of `athanor`: one source each, listed in main.cpp.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace athanor::command {

/// What the process ends with.
enum ExitCode : int {
  done = 0,
  answer_is_no = 1,  ///< Something is damaged (inspect, verify), or the runs differ (diff).
  failed = 2,        ///< It could not be done: wrong arguments, no such file, a full disk.
};

/// Runs a subcommand after its arguments were read; throws Error for what could not be done.
using Action = std::function<ExitCode()>;

/// Each declares its arguments on `app`, whose name and description are set, and gives what to run.
Action add_runs(CLI::App& app);
Action add_diff(CLI::App& app);
Action add_inspect(CLI::App& app);
Action add_verify(CLI::App& app);
Action add_convert(CLI::App& app);
Action add_average(CLI::App& app);
Action add_watch(CLI::App& app);

}  // namespace athanor::command
