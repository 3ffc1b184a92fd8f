// SPDX-License-Identifier: Apache-2.0
// Keeps the best weights, in memory and as best.safetensors, and puts them back.
#pragma once

#include <memory>

#include "athanor/callbacks/monitor.hpp"

namespace athanor {

class Background;

/// When the best weights are put back into the nets.
enum class RestoreBest {
  at_end,      ///< Once, when fit ends.
  each_epoch,  ///< After every epoch that was not better: the next one starts from the best.
  never,       ///< The last weights stay.
};

struct KeepBestOptions {
  MonitorOptions monitor = {};
  RestoreBest restore = RestoreBest::at_end;
};

/// Copies parameters and buffers whenever the monitored value improves: one copy in memory, used again. With a run
/// folder a thread of its own writes it to `best.safetensors`, atomically, while training goes on; a failure to write
/// ends the run with its message, and the file of the best before it is whole.
class KeepBest {
 public:
  explicit KeepBest(KeepBestOptions options = {});
  void on_fit_begin(Trainer& trainer);
  void on_check(Trainer& trainer);
  void on_fit_end(Trainer& trainer);
  void set_restore(RestoreBest restore) noexcept { restore_ = restore; }
  void state(State& state);
  /// There may be one for each monitor.
  [[nodiscard]] std::string key() const { return "KeepBest of " + monitor_.options().monitor; }

 private:
  void keep(Trainer& trainer);
  void write(const std::filesystem::path& folder);

  Monitor monitor_;
  RestoreBest restore_;
  Tree weights_;
  int64_t kept_step_ = 0;  // where the run stood then
  std::shared_ptr<Background> writer_;
};

}  // namespace athanor
