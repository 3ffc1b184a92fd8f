// SPDX-License-Identifier: Apache-2.0
// athanor watch: the live page of the runs in a folder, without the programs that train them.
#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "apps/output.hpp"
#include "apps/subcommand.hpp"
#include "athanor/core/error.hpp"
#include "athanor/track/page_server.hpp"

namespace athanor::command {
namespace {

struct WatchOptions {
  std::string folder = "runs";
  int port = 6007;
};

/// Serves the page until SIGINT or SIGTERM.
ExitCode watch(const WatchOptions& options) {
  std::error_code none;
  if (!std::filesystem::is_directory(options.folder, none)) {
    throw Error({.what = "there is no such folder",
                 .where = options.folder,
                 .todo = "name a run folder, or a folder with runs in it"});
  }
  // Blocked before the server's threads begin, so that only the wait below gets them.
  sigset_t ending;
  sigset_t before;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ending, &before);
  {
    const track::PageServer server(
        {.runs = {.folder = std::filesystem::absolute(options.folder)}, .port = options.port});
    const bool moved = options.port != 0 && server.port() != options.port;
    print("The runs of " + printable(options.folder) + ": " + server.url() +
          (moved ? " (port " + std::to_string(options.port) + " is taken)" : "") + "  Ctrl-C ends this.\n");
    std::fflush(stdout);
    int signal = 0;
    sigwait(&ending, &signal);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return done;
}

}  // namespace

Action add_watch(CLI::App& app) {
  const auto options = std::make_shared<WatchOptions>();
  app.add_option("FOLDER", options->folder, "A run folder, or a folder with runs in it, three levels deep at most")
      ->capture_default_str();
  app.add_option("--port", options->port, "On 127.0.0.1; when it is taken the next ones are tried. 0: any")
      ->capture_default_str();
  app.footer("Serves the page until Ctrl-C. Exit status: 0 ended; 2 no folder, or no port.");
  return [options] { return watch(*options); };
}

}  // namespace athanor::command
