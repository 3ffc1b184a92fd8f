// SPDX-License-Identifier: Apache-2.0
// The files of a run folder that show it: history.csv and curves.svg.
#pragma once

#include "athanor/train/events.hpp"

namespace athanor {

/// Writes `history.csv` after every epoch and `curves.svg` at the end, atomically. Does nothing for a run without a
/// folder.
class RunFolder : public Listener {
 public:
  void on_run_begin(const events::RunBegin& run) override;
  void on_epoch_end(const events::EpochEnd&) override;
  void on_run_end(const events::RunEnd& end) override;
  [[nodiscard]] std::string name() const override { return "the files of the run folder"; }

 private:
  std::optional<std::filesystem::path> folder_;
  const History* history_ = nullptr;
};

}  // namespace athanor
