// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/signals.hpp"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

struct Listening {
  std::atomic<SignalGuard::Notify> notify{nullptr};
  std::atomic<void*> object{nullptr};
};
constexpr int most_guards = 16;
std::array<Listening, most_guards> listening;
std::atomic<bool> interrupted_once{false};

struct Installed {
  int users = 0;
  struct sigaction before {};
};
std::mutex installed_mutex;
std::map<int, Installed>& installed() {
  static std::map<int, Installed> map;
  return map;
}

void hear(int signal) {
  if (signal == SIGINT && interrupted_once.exchange(true)) ::_exit(128 + SIGINT);
  for (Listening& each : listening) {
    if (const auto notify = each.notify.load()) notify(each.object.load(), signal);
  }
}

bool left_to_host(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != SIG_DFL;
}

/// False when the host has a handler of its own.
bool install_handler(int signal) {
  Installed& entry = installed()[signal];
  if (entry.users == 0) {
    if (::sigaction(signal, nullptr, &entry.before) != 0) {
      throw Error({.what = "a signal can't be caught", .got = std::to_string(signal), .expected = "such as SIGUSR1"});
    }
    if (left_to_host(entry.before)) return false;
    struct sigaction action {};
    action.sa_handler = &hear;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (::sigaction(signal, &action, nullptr) != 0) {
      throw Error({.what = "a signal can't be caught",
                   .got = signal_name(signal) + ": " + ::strerror(errno),
                   .expected = "a signal other than SIGKILL and SIGSTOP"});
    }
  }
  entry.users += 1;
  return true;
}

void remove_handler(int signal) noexcept {
  Installed& entry = installed()[signal];
  if (--entry.users > 0) return;
  struct sigaction now {};
  // Unless somebody else took it meanwhile.
  if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == &hear) ::sigaction(signal, &entry.before, nullptr);
}

}  // namespace

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

SignalGuard::SignalGuard(Signals signals, std::optional<int> further, Notify notify, void* object) {
  if (signals == Signals::untouched) return;
  const std::lock_guard lock(installed_mutex);
  std::vector<int> wanted{SIGTERM, SIGINT};
  if (further && *further != SIGTERM && *further != SIGINT) wanted.push_back(*further);
  std::vector<std::string> names, left;
  for (const int signal : wanted) {
    if (install_handler(signal)) {
      caught_.push_back(signal);
      names.push_back(signal_name(signal));
    } else {
      left.push_back(signal_name(signal));
    }
  }
  for (int i = 0; i < most_guards && place_ < 0; ++i) {
    Listening& free = listening[static_cast<size_t>(i)];
    if (free.notify.load() != nullptr) continue;
    free.object = object;
    free.notify = notify;
    place_ = i;
  }
  interrupted_once = false;
  if (!names.empty()) {
    notes_.push_back(join(names, ", ") + (signals == Signals::exit ? " save and exit" : " save and end the call") +
                     " (signal handlers, put back at the end of the call)");
  }
  if (!left.empty()) notes_.push_back(join(left, ", ") + " left to the handlers of the host program");
}

SignalGuard::~SignalGuard() {
  const std::lock_guard lock(installed_mutex);
  for (const int signal : caught_) remove_handler(signal);
  if (place_ >= 0) listening[static_cast<size_t>(place_)].notify = nullptr;
}

}  // namespace athanor
