// SPDX-License-Identifier: Apache-2.0
// SIGTERM, SIGINT and a signal of one's choice, as long as a run asks for them.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace athanor {

/// What a run does with signals.
enum class Signals {
  untouched,  ///< No handler is installed.
  stop,       ///< The run ends after the running step, and saves; the call returns.
  exit,       ///< The same, then the process exits with 128 + the number of the signal.
};

/// Handlers for as long as it lives; at the end of its life those from before are put back. A signal for which the host
/// program has a handler of its own, or which it ignores (as under nohup), is left to the host.
///
/// Handlers belong to the whole process: each signal reaches every guard that lives, on whatever thread the system
/// picks. At most 16 guards at a time; further ones hear nothing. A second SIGINT while the first is being obeyed ends
/// the process at once, with status 130.
class SignalGuard {
 public:
  /// Must be async-signal-safe: called inside of the handler.
  using Notify = void (*)(void* object, int signal) noexcept;

  /// Listens to SIGTERM, SIGINT and `further` unless `signals` is untouched. Throws Error for a signal that can't be
  /// caught.
  SignalGuard(Signals signals, std::optional<int> further, Notify notify, void* object);
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

  /// What was installed, and what was left to the host: a sentence each.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  int place_ = -1;
  std::vector<int> caught_;
  std::vector<std::string> notes_;
};

/// `SIGTERM`; `signal 42` for one without a name.
[[nodiscard]] std::string signal_name(int signal);

}  // namespace athanor
