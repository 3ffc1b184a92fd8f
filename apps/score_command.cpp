// SPDX-License-Identifier: Apache-2.0
#include "apps/score_command.hpp"

#include <sys/wait.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <utility>

#include "apps/output.hpp"
#include "athanor/core/error.hpp"

namespace athanor::command {
namespace {

/// As one word of the shell.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string_view last_line(std::string_view output) {
  const std::size_t end = output.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return {};
  output = output.substr(0, end + 1);
  output.remove_prefix(output.rfind('\n') + 1);  // npos + 1 is 0
  output.remove_prefix(std::min(output.find_first_not_of(" \t"), output.size()));
  return output;
}

}  // namespace

ScoreCommand::ScoreCommand(std::string command) : command_(std::move(command)) {
  if (command_.find("{}") != std::string::npos) return;
  throw Error({.what = "the command does not say where the file belongs",
               .where = "--score",
               .got = command_,
               .expected = "{} in it: './score {}'"});
}

double ScoreCommand::run(const std::filesystem::path& file) const {
  std::string command = command_;
  const std::string path = quoted(file.string());
  for (std::size_t at = 0; (at = command.find("{}", at)) != std::string::npos; at += path.size()) {
    command.replace(at, 2, path);
  }
  std::fflush(stdout);
  FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) throw Error({.what = "a command can't be started", .where = "--score", .got = command_});
  constexpr std::size_t kept = 64 << 10;
  std::string output;
  std::array<char, 4096> piece{};
  for (std::size_t size = 0; (size = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;) {
    output.append(piece.data(), size);
    if (output.size() > 2 * kept) output.erase(0, output.size() - kept);
  }
  const int status = ::pclose(pipe);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw Error({.what = "the command that scores failed",
                 .where = command_,
                 .got = WIFEXITED(status) ? "exit status " + std::to_string(WEXITSTATUS(status))
                                          : "signal " + std::to_string(WTERMSIG(status))});
  }
  const std::string_view line = last_line(output);
  double score = 0;
  const auto [end, problem] = std::from_chars(line.data(), line.data() + line.size(), score);
  if (problem != std::errc() || end != line.data() + line.size()) {
    throw Error({.what = "the command that scores printed no number in its last line",
                 .where = command_,
                 .got = line.empty() ? "nothing" : printable(line, 80)});
  }
  return score;
}

}  // namespace athanor::command
