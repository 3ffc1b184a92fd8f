// SPDX-License-Identifier: Apache-2.0
// Which commit a folder stands at, and whether its files are those of the commit. Neither git nor a shell is run. No
// LibTorch.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace athanor {

struct GitState {
  std::filesystem::path folder = {};  ///< Of the working tree.
  std::string commit = {};            ///< 40 or 64 hexadecimal digits; empty before the first commit.
  std::string branch = {};            ///< `main`; empty when no branch is checked out.
  /// Whether tracked files differ from the commit, in the working tree or staged; unset when that is not known: more
  /// than 50,000 files or 32 MiB to read, SHA-256, a split or sparse index.
  std::optional<bool> dirty = {};
  std::vector<std::string> changed = {};  ///< The first 20 files that differ in the working tree.
};

/// The state of the working tree that `inside` lies in; unset when it lies in none. Reads `.git` (worktrees too) and
/// looks at the size and time of each tracked file; those whose time differs are read and compared. Files that are not
/// tracked do not count. A file that git changes on its way into the working tree (line ends, LFS) and that was written
/// again may count as changed although git would see no change. Never throws for what it finds.
[[nodiscard]] std::optional<GitState> git_state(const std::filesystem::path& inside);

}  // namespace athanor
