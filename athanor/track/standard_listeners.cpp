// SPDX-License-Identifier: Apache-2.0
// What every run is shown with; the trainer asks for it by athanor/train/display.hpp.
#include "athanor/track/console.hpp"
#include "athanor/track/run_folder.hpp"
#include "athanor/train/display.hpp"

namespace athanor {

Listeners standard_listeners(Verbosity verbosity) {
  return {std::make_shared<Console>(ConsoleOptions{.verbosity = verbosity}), std::make_shared<RunFolder>()};
}

}  // namespace athanor
