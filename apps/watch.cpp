// SPDX-License-Identifier: Apache-2.0
#include "apps/watch.hpp"

#include <pthread.h>
#include <signal.h>

#include "athanor/core/error.hpp"
#include "athanor/track/page_server.hpp"

namespace athanor::command {

int watch(const WatchOptions& options, const std::function<void(const std::string& line)>& say) {
  std::error_code none;
  if (!std::filesystem::is_directory(options.folder, none)) {
    throw Error({.what = "there is no such folder",
                 .where = options.folder.string(),
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
    say("The runs of " + options.folder.string() + ": " + server.url() +
        (moved ? " (port " + std::to_string(options.port) + " is taken)" : "") + "  Ctrl-C ends this.");
    int signal = 0;
    sigwait(&ending, &signal);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return 0;
}

}  // namespace athanor::command
