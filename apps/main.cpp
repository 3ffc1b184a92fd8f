// SPDX-License-Identifier: Apache-2.0
// The `athanor` command. It links no LibTorch, so that it starts in milliseconds.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "apps/output.hpp"
#include "apps/subcommand.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/version.hpp"

namespace {

using namespace athanor::command;

struct Subcommand {
  const char* name;
  const char* description;
  Action (*add)(CLI::App& app);
};

constexpr std::array subcommands{
    Subcommand{"runs", "A table of the runs in a folder", add_runs},
    Subcommand{"diff", "What differs between two runs", add_diff},
    Subcommand{"inspect", "What a file of weights or data, or a checkpoint, holds", add_inspect},
    Subcommand{"verify", "Whether the checkpoints of a run are whole", add_verify},
    Subcommand{"convert", "Weights from one format or element type to another", add_convert},
    Subcommand{"average", "The average of several files of weights", add_average},
    Subcommand{"watch", "The live page of the runs in a folder", add_watch},
};

ExitCode run(int argc, char** argv) {
  CLI::App app("Looks after the runs and files of Athanor, without running anything that is in them.", "athanor");
  app.set_version_flag("--version", std::string(athanor::version));
  app.require_subcommand(1);
  app.footer("Exit status: 0 done; 1 something is damaged, or the runs differ; 2 it could not be done.");
  std::vector<std::pair<CLI::App*, Action>> actions;
  for (const Subcommand& subcommand : subcommands) {
    CLI::App* part = app.add_subcommand(subcommand.name, subcommand.description);
    actions.emplace_back(part, subcommand.add(*part));
  }
  std::vector<std::string> names;
  names.reserve(std::size(subcommands));
  for (const Subcommand& subcommand : subcommands) names.emplace_back(subcommand.name);
  if (argc > 1 && argv[1][0] != '-' && std::find(names.begin(), names.end(), argv[1]) == names.end()) {
    const std::string near = athanor::nearest(argv[1], names);
    print_error("there is no subcommand " + std::string(argv[1]) + "; " +
                (near.empty() ? "see athanor --help" : "did you mean " + near + "?"));
    return failed;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    app.exit(asked);
    return done;
  } catch (const CLI::ParseError& error) {
    print_error(std::string(error.what()) + "; see athanor --help");
    return failed;
  }
  for (const auto& [part, action] : actions) {
    if (part->parsed()) return action();
  }
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  ExitCode code = failed;
  try {
    code = run(argc, argv);
  } catch (const athanor::Error& error) {
    print_error(one_line(error));
  } catch (const std::bad_alloc&) {
    print_error("there is not enough memory");
  } catch (const std::exception& error) {
    print_error(error.what());
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    print_error("the output can't be written");
    return failed;
  }
  return code;
}
