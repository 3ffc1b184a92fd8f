// SPDX-License-Identifier: Apache-2.0
// Runs a program and reads what it writes.
#pragma once

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace athanor::testing {

struct Finished {
  int status = -1;  ///< Exit status; 128 + the number of a signal that ended it.
  std::string output = {};
  std::string errors = {};
};

/// A command line for the shell.
inline Finished run_process(const std::string& command) {
  std::string errors = (std::filesystem::temp_directory_path() / "athanor-errors-XXXXXX").string();
  ::close(::mkstemp(errors.data()));
  FILE* pipe = ::popen(("( " + command + "\n) 2>'" + errors + "'").c_str(), "r");
  Finished finished;
  if (pipe == nullptr) return finished;
  std::array<char, 4096> piece{};
  for (size_t size = 0; (size = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;) {
    finished.output.append(piece.data(), size);
  }
  const int status = ::pclose(pipe);
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  std::ifstream file(errors);
  finished.errors.assign(std::istreambuf_iterator<char>(file), {});
  std::filesystem::remove(errors);
  return finished;
}

}  // namespace athanor::testing
