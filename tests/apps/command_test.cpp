// SPDX-License-Identifier: Apache-2.0
// The command itself: help, exit status, what it links.
#include "tests/apps/command.hpp"

#include <algorithm>
#include <chrono>

#include "athanor/core/version.hpp"

namespace athanor::testing::command_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Command, HelpNamesEverySubcommandAndTheExitStatus) {
  const Finished help = run_command("--help");
  EXPECT_EQ(help.status, 0);
  for (const char* name : {"runs", "diff", "inspect", "verify", "convert", "average"}) {
    EXPECT_THAT(help.output, HasSubstr(std::string("  ") + name + " "));
    const Finished part = run_command(std::string(name) + " --help");
    EXPECT_EQ(part.status, 0) << name;
    EXPECT_THAT(part.output, HasSubstr("--")) << name;
  }
  EXPECT_THAT(help.output, HasSubstr("Exit status: 0 done"));
  EXPECT_THAT(run_command("--version").output, HasSubstr(std::string(version)));
}

TEST(Command, WrongUseIsOneLineAndStatus2) {
  expect_refused(run_command(""), "subcommand");
  expect_refused(run_command("frobnicate"), "there is no subcommand frobnicate");
  expect_refused(run_command("inspekt a"), "did you mean inspect?");
  expect_refused(run_command("inspect"), "FILE");
  expect_refused(run_command("inspect a b --no-such"), "--help");
  expect_refused(run_command("inspect /no/such/file"), "/no/such/file");
  expect_refused(run_command("inspect \"$(printf '/no/\\033[31msuch')\""), "\\x1b");
}

TEST(Command, StartsInMillisecondsBecauseItLinksNoLibTorch) {
  const Finished linked = run_process("ldd " ATHANOR_COMMAND);
  EXPECT_THAT(linked.output, Not(HasSubstr("torch")));
  EXPECT_THAT(linked.output, Not(HasSubstr("libc10")));
  double least = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    static_cast<void>(run_command("--version"));
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  EXPECT_LT(least, 0.1) << "a shell included; loading LibTorch alone takes several times as long";
}

TEST(Command, AFullDiskIsNotSilent) { expect_refused(run_command("--help > /dev/full"), "output can't be written"); }

}  // namespace
}  // namespace athanor::testing::command_test
