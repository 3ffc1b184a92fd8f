// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/run_folder.hpp"

#include <system_error>

#include "athanor/track/plot.hpp"

namespace athanor {

void RunFolder::on_run_begin(const events::RunBegin& run) {
  folder_ = run.folder;
  history_ = run.history;
  if (!folder_ || history_ == nullptr) return;
  // What a killed run wrote after its last checkpoint did not happen.
  if (!history_->empty()) {
    history_->to_csv(*folder_ / "history.csv");
    return;
  }
  std::error_code ignored;
  std::filesystem::remove(*folder_ / "history.csv", ignored);
  std::filesystem::remove(*folder_ / "curves.svg", ignored);
}

void RunFolder::on_epoch_end(const events::EpochEnd&) {
  if (folder_ && history_ != nullptr) history_->to_csv(*folder_ / "history.csv");
}

void RunFolder::on_run_end(const events::RunEnd& end) {
  if (!folder_ || end.history.empty()) return;
  end.history.to_csv(*folder_ / "history.csv");
  save_plot(end.history, *folder_ / "curves.svg");
}

}  // namespace athanor
