// SPDX-License-Identifier: Apache-2.0
// A file that is only there to be scored.
#pragma once

#include <signal.h>

#include <filesystem>
#include <functional>

namespace athanor::command {

/// A file beside the output, with its suffix, that goes when this does, and when SIGINT, SIGTERM or SIGHUP end the
/// process meanwhile. Signals that were ignored before stay ignored. One at a time.
class CandidateFile {
 public:
  explicit CandidateFile(const std::filesystem::path& output);
  ~CandidateFile();
  CandidateFile(const CandidateFile&) = delete;
  CandidateFile& operator=(const CandidateFile&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  /// Calls `write`; the signals wait until it is done, so that nothing half written stays behind.
  void write(const std::function<void(const std::filesystem::path&)>& write);

 private:
  std::filesystem::path path_;
  struct sigaction before_[3];
};

}  // namespace athanor::command
