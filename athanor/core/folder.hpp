// SPDX-License-Identifier: Apache-2.0
// Folders: written as a whole or not at all, removed as a whole, and locked against a second process.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

namespace athanor {

/// Makes the folder `path` as a whole or not at all: `fill` writes files (no folders) into a hidden folder beside it,
/// these and that folder are flushed to the disk, then it is renamed to `path` and the folder above it is flushed. A
/// reader, and a machine that loses power at any moment, sees no folder or the complete one. When something fails the
/// hidden folder is removed; a killed process may leave `.athanor-*.tmp` behind (`remove_leftovers`).
///
/// Throws Error when `path` is there already, when the folder above it is missing or can't be written to, and when the
/// disk is full or can't be flushed; what `fill` throws passes through.
void write_folder_atomically(const std::filesystem::path& path,
                             const std::function<void(const std::filesystem::path& beside)>& fill);

/// Removes a folder with all that is in it. It is renamed first, so that a process killed meanwhile leaves the whole
/// folder or a hidden `.athanor-*.tmp`. Throws Error when it can't be removed; nothing happens when it is not there.
void remove_folder(const std::filesystem::path& path);

/// Removes what killed processes have left directly in `folder`: hidden files and folders called `.athanor-*.tmp`. Only
/// for the one process that writes there. Never throws; what can't be removed stays.
void remove_leftovers(const std::filesystem::path& folder) noexcept;

/// The right of one process to write in a folder, by `flock` on the hidden file `.lock` in it. The system gives it back
/// when the process ends in whatever way, so a lock is never stale. It holds between processes, and between two objects
/// in one process.
class FolderLock {
 public:
  /// Locks the folder, which must exist. Unset when somebody else holds it. Throws Error when the file of the lock
  /// can't be made. A file system that knows no locks (some network drives) counts as locked by us.
  [[nodiscard]] static std::optional<FolderLock> try_lock(const std::filesystem::path& folder);
  /// The same, and Error, with the process that holds it, when somebody else does.
  [[nodiscard]] static FolderLock lock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(int descriptor) noexcept : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace athanor
