// SPDX-License-Identifier: Apache-2.0
#include "apps/candidate_file.hpp"

#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <string>

#include "athanor/core/error.hpp"

namespace athanor::command {
namespace {

constexpr std::array ending_signals{SIGINT, SIGTERM, SIGHUP};
char candidate_name[PATH_MAX] = {};

/// Only calls that are async-signal-safe.
void remove_and_end(int signal) {
  ::unlink(candidate_name);
  ::signal(signal, SIG_DFL);
  ::raise(signal);  // as if nobody had caught it, once this returns
}

class EndingSignalsWait {
 public:
  EndingSignalsWait() {
    sigset_t waiting;
    sigemptyset(&waiting);
    for (const int signal : ending_signals) sigaddset(&waiting, signal);
    ::sigprocmask(SIG_BLOCK, &waiting, &before_);
  }
  ~EndingSignalsWait() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  EndingSignalsWait(const EndingSignalsWait&) = delete;
  EndingSignalsWait& operator=(const EndingSignalsWait&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

CandidateFile::CandidateFile(const std::filesystem::path& output)
    : path_(std::filesystem::absolute(output).parent_path() /
            (".athanor-soup-" + std::to_string(::getpid()) + output.extension().string())) {
  if (path_.native().size() >= sizeof candidate_name) {
    throw Error({.what = "the path of the output is too long", .where = output.string()});
  }
  std::strcpy(candidate_name, path_.c_str());
  struct sigaction action {};
  action.sa_handler = remove_and_end;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < ending_signals.size(); ++i) {
    ::sigaction(ending_signals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) ::sigaction(ending_signals[i], &action, nullptr);
  }
}

CandidateFile::~CandidateFile() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
  for (std::size_t i = 0; i < ending_signals.size(); ++i) ::sigaction(ending_signals[i], &before_[i], nullptr);
}

void CandidateFile::write(const std::function<void(const std::filesystem::path&)>& write) {
  const EndingSignalsWait wait;
  write(path_);
}

}  // namespace athanor::command
