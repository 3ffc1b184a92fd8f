// SPDX-License-Identifier: Apache-2.0
// What every run is shown with; the trainer asks for it by athanor/train/display.hpp.
#include "athanor/track/console.hpp"
#include "athanor/track/listener_thread.hpp"
#include "athanor/track/log_file.hpp"
#include "athanor/track/run_folder.hpp"
#include "athanor/train/display.hpp"

namespace athanor {

Listeners standard_listeners(const DisplayOptions& options) {
  using std::chrono::milliseconds;
  Listeners listeners;
  if (options.verbosity != Verbosity::silent) {
    // A line waits for the screen for a moment, so that it stands before what the host prints next.
    listeners.push_back(
        track::on_thread(std::make_shared<Console>(ConsoleOptions{
                             .verbosity = options.verbosity, .digits = options.digits, .stream = options.stream}),
                         {.keep = track::Keep::newest,
                          .bytes = size_t{1} << 20,
                          .delay = milliseconds(0),
                          .settle = milliseconds(100)}));
  }
  listeners.push_back(
      track::on_thread(std::make_shared<RunFolder>(), {.delay = milliseconds(0), .only_with_folder = true}));
  listeners.push_back(track::log_file());
  return listeners;
}

}  // namespace athanor
