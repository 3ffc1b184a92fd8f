// SPDX-License-Identifier: Apache-2.0
// A program of the user that judges a file.
#pragma once

#include <filesystem>
#include <string>

namespace athanor::command {

/// A command for the shell, with `{}` where the path of the file belongs.
class ScoreCommand {
 public:
  /// Throws Error for a command without `{}`.
  explicit ScoreCommand(std::string command);

  /// Runs it and waits. The last line on its standard output that is not blank is the number; `nan` and `inf` are
  /// numbers. Throws Error when it fails or prints no number.
  [[nodiscard]] double run(const std::filesystem::path& file) const;

 private:
  std::string command_;
};

}  // namespace athanor::command
