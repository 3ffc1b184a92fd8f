// SPDX-License-Identifier: Apache-2.0
// Folders over the POSIX calls: write beside and rename, remove, lock.
#include "athanor/core/folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "athanor/core/error.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void folder_failed(const std::string& what, const fs::path& path, int code) {
  throw Error({.what = what,
               .where = path.string(),
               .got = std::generic_category().message(code),
               .todo = code == ENOSPC || code == EDQUOT
                           ? "free some space on this disk, or choose a folder on another one"
                       : code == ENOENT ? "was the folder renamed or removed? put it back"
                                        : ""});
}

fs::path hidden_name(const fs::path& folder) {
  static std::atomic<unsigned> counter{0};
  return folder / (".athanor-" + std::to_string(::getpid()) + "-folder-" + std::to_string(counter++) + ".tmp");
}

// Some network file systems can't flush a folder and say so by EINVAL; there is nothing more to do for these.
void flush_directory(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) folder_failed("a folder can't be opened to flush it", folder, errno);
  const int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (code != 0 && code != EINVAL && code != EROFS) {
    folder_failed("a folder can't be flushed to the disk", folder, code);
  }
}

fs::path parent_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

class HiddenFolder {
 public:
  explicit HiddenFolder(const fs::path& parent) {
    int code = 0;
    do {
      path_ = hidden_name(parent);
      code = ::mkdir(path_.c_str(), 0777) == 0 ? 0 : errno;
    } while (code == EEXIST);
    if (code != 0) folder_failed("a folder can't be made here", parent, code);
  }
  ~HiddenFolder() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
  }
  HiddenFolder(const HiddenFolder&) = delete;
  HiddenFolder& operator=(const HiddenFolder&) = delete;
  void keep() noexcept { kept_ = true; }
  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  fs::path path_;
  bool kept_ = false;
};

std::string holder_of(int descriptor) {
  char text[64] = {};
  const ssize_t length = ::pread(descriptor, text, sizeof text - 1, 0);
  return length > 0 ? "process " + std::string(text, static_cast<size_t>(length)) : "another process";
}

// A descriptor that is locked, or the one that another holds as the second.
std::pair<int, int> open_lock(const fs::path& folder) {
  const fs::path path = folder / ".lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) folder_failed("the lock of a folder can't be made", path, errno);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return {-1, descriptor};
  const std::string self = std::to_string(::getpid());
  if (::ftruncate(descriptor, 0) == 0) static_cast<void>(::pwrite(descriptor, self.data(), self.size(), 0) == 0);
  return {descriptor, -1};
}

}  // namespace

void write_folder_atomically(const fs::path& path, const std::function<void(const fs::path& beside)>& fill) {
  const fs::path parent = parent_of(path);
  if (fs::exists(fs::symlink_status(path))) {
    throw Error({.what = "a folder is there already",
                 .where = path.string(),
                 .expected = "a name that is free",
                 .todo = "choose another name"});
  }
  HiddenFolder hidden(parent);
  fill(hidden.path());
  flush_directory(hidden.path());
  if (::rename(hidden.path().c_str(), path.c_str()) != 0)
    folder_failed("a folder can't be put in its place", path, errno);
  hidden.keep();
  flush_directory(parent);
}

void remove_folder(const fs::path& path) {
  if (!fs::exists(fs::symlink_status(path))) return;
  const fs::path hidden = hidden_name(parent_of(path));
  if (::rename(path.c_str(), hidden.c_str()) != 0) folder_failed("a folder can't be removed", path, errno);
  std::error_code failure;
  fs::remove_all(hidden, failure);
  if (failure) folder_failed("a folder can't be removed", hidden, failure.value());
}

void remove_leftovers(const fs::path& folder) noexcept {
  try {
    std::error_code ignored;
    for (fs::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
      const std::string name = entry->path().filename().string();
      if (name.starts_with(".athanor-") && name.ends_with(".tmp")) fs::remove_all(entry->path(), ignored);
    }
  } catch (...) {  // no memory for a name: they stay
  }
}

std::optional<FolderLock> FolderLock::try_lock(const fs::path& folder) {
  const auto [ours, theirs] = open_lock(folder);
  if (ours >= 0) return FolderLock(ours);
  ::close(theirs);
  return std::nullopt;
}

FolderLock FolderLock::lock(const fs::path& folder) {
  const auto [ours, theirs] = open_lock(folder);
  if (ours >= 0) return FolderLock(ours);
  const std::string holder = holder_of(theirs);
  ::close(theirs);
  throw Error({.what = "another run writes to this folder",
               .where = folder.string(),
               .got = holder + " holds its lock",
               .expected = "one run for a folder at a time",
               .todo = "wait until it ends or stop it, or give this run another folder"});
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}
FolderLock::FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

}  // namespace athanor
