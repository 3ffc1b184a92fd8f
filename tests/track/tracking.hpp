// SPDX-License-Identifier: Apache-2.0
// A folder to write to, a scripted run to tell a tracker, and the real TensorBoard.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "athanor/train/events.hpp"
#include "tests/temporary_folder.hpp"

namespace athanor::testing {

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// Steps 50 and 100 in two epochs of 60 steps; names with slashes, blanks and Unicode; NaN and infinity.
class ScriptedRun {
 public:
  explicit ScriptedRun(std::filesystem::path folder, int64_t first = 1, int64_t last = 2)
      : folder_(std::move(folder)), first_(first), last_(last) {}

  void tell(Listener& listener) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    listener.on_run_begin({.device = "cpu",
                           .threads = 1,
                           .seed = 42,
                           .parameters = 100,
                           .options = {{"optimizer", "Adam"}, {"lr", "0.001"}, {"shuffle", "true"}, {"a|b", "1\n2"}},
                           .folder = folder_,
                           .resumed = first_ > 1,
                           .history = &history_});
    history_.set_best({.monitor = "val_loss"});
    for (int64_t number = first_; number <= last_; ++number) {
      const auto n = static_cast<double>(number);
      listener.on_step({.epoch = number,
                        .step = 50 * number,
                        .samples = 1600 * number,
                        .values = {{"train_loss", 1 / n}, {"lr", 0.001}, {"gradient_norm", infinity}}});
      listener.on_message(
          {.level = events::Message::Level::warning, .text = "größe, \"wow\" " + std::to_string(number)});
      history_.add({.number = number,
                    .steps = 60 * number,
                    .seconds = 1.5,
                    .values = {{"train_loss", 0.5 / n},
                               {"train_top 1/größe, \"x\"", 0.25},
                               {"val_loss", 0.75 / n},
                               {"clean_loss", std::numeric_limits<double>::quiet_NaN()},
                               {"odd", -infinity}},
                    .settings = {{"lr", 0.001}}});
      history_.set_best({.monitor = "val_loss", .epoch = number, .value = 0.75 / n});
      listener.on_epoch_end({.epoch = history_.last(), .epochs = last_, .run_seconds = 1.5 * n, .best = true});
    }
    history_.set_stop_reason("all epochs done");
    listener.on_run_end({.history = history_,
                         .seconds = 3,
                         .folder = folder_,
                         .directions = {{"train_loss", Direction::down}, {"val_loss", Direction::down}}});
  }

 private:
  std::filesystem::path folder_;
  int64_t first_;
  int64_t last_;
  History history_;
};

/// The Python of a peer that is too large for the one of all tests: what the environment names, else that one.
inline std::string python_of(const char* variable) {
  const char* named = std::getenv(variable);
  return named != nullptr && *named != '\0' ? named : ATHANOR_TEST_PYTHON;
}

/// What a script prints, and its exit status.
struct PythonOutput {
  std::string text;
  int status = -1;
};
/// `interpreter`: of Python, or node.
inline PythonOutput run_python(const std::string& script_and_arguments,
                               const std::string& interpreter = ATHANOR_TEST_PYTHON) {
  PythonOutput output;
  const std::string command = interpreter + " " ATHANOR_SOURCE_DIR "/tests/track/" + script_and_arguments + " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  std::array<char, 4096> piece{};
  for (size_t size = 0; (size = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;) {
    output.text.append(piece.data(), size);
  }
  const int status = ::pclose(pipe);
  output.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return output;
}
/// The status of a script whose package is not installed.
constexpr int package_is_missing = 77;

}  // namespace athanor::testing
