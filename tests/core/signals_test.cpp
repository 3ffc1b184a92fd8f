// SPDX-License-Identifier: Apache-2.0
// Signals are caught for as long as a guard lives, and the host program's handlers are left alone.
#include "athanor/core/signals.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "tests/core/error_of.hpp"

namespace athanor::testing::signals_test {
namespace {

void note(void* object, int signal) noexcept { *static_cast<int*>(object) = signal; }

TEST(Signals, AreHeardByEveryGuardThatLives) {
  int first = 0, second = 0;
  {
    const SignalGuard guard(athanor::Signals::stop, SIGUSR1, &note, &first);
    {
      const SignalGuard inner(athanor::Signals::stop, std::nullopt, &note, &second);
      ::raise(SIGTERM);
    }
    EXPECT_EQ(first, SIGTERM);
    EXPECT_EQ(second, SIGTERM);
    ::raise(SIGUSR1);
    EXPECT_EQ(first, SIGUSR1);
    EXPECT_EQ(second, SIGTERM);
    EXPECT_THAT(guard.notes(), ::testing::ElementsAre(
                                   "SIGTERM, SIGINT, SIGUSR1 save and end the call (signal handlers, put back at the "
                                   "end of the call)"));
  }
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_DFL) << signal_name(signal);
  }
}

TEST(Signals, UntouchedMeansUntouched) {
  const SignalGuard guard(athanor::Signals::untouched, SIGUSR1, &note, nullptr);
  struct sigaction now {};
  ::sigaction(SIGTERM, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
  EXPECT_THAT(guard.notes(), ::testing::IsEmpty());
}

volatile sig_atomic_t hosts = 0;

TEST(Signals, AHandlerOfTheHostStays) {
  const auto before = ::signal(SIGTERM, [](int) { hosts = hosts + 1; });
  int heard = 0;
  {
    const SignalGuard guard(athanor::Signals::stop, std::nullopt, &note, &heard);
    ::raise(SIGTERM);
    EXPECT_THAT(guard.notes(), ::testing::Contains("SIGTERM left to the handlers of the host program"));
  }
  EXPECT_EQ(hosts, 1);
  EXPECT_EQ(heard, 0);
  ::signal(SIGTERM, before);
}

TEST(Signals, IgnoredOnesStayIgnored) {
  ::signal(SIGINT, SIG_IGN);
  int heard = 0;
  {
    const SignalGuard guard(athanor::Signals::stop, std::nullopt, &note, &heard);
    ::raise(SIGINT);
  }
  ::raise(SIGINT);
  EXPECT_EQ(heard, 0);
  ::signal(SIGINT, SIG_DFL);
}

TEST(SignalsDeathTest, ASecondInterruptLeavesAtOnce) {
  EXPECT_EXIT(
      {
        int heard = 0;
        const SignalGuard guard(athanor::Signals::stop, std::nullopt, &note, &heard);
        ::raise(SIGINT);
        if (heard != SIGINT) ::_exit(1);
        ::raise(SIGINT);
        ::_exit(2);
      },
      ::testing::ExitedWithCode(130), "");
}

TEST(Signals, OneThatCanNotBeCaughtIsRefused) {
  const Error::Parts parts = error_of([] { const SignalGuard guard(athanor::Signals::stop, SIGKILL, &note, nullptr); });
  EXPECT_EQ(parts.what, "a signal can't be caught");
  EXPECT_THAT(parts.got, ::testing::HasSubstr("SIGKILL"));
}

}  // namespace
}  // namespace athanor::testing::signals_test
