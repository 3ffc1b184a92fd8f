// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/append_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "athanor/core/error.hpp"

namespace athanor::track {
namespace {

[[noreturn]] void refuse_file(const char* what, const std::filesystem::path& path, int reason) {
  throw Error({.what = what,
               .where = path.string(),
               .got = std::generic_category().message(reason),
               .todo = reason == ENOSPC ? "make room on that disk" : "choose a place that this user may write to"});
}

}  // namespace

AppendFile::AppendFile(std::filesystem::path path, size_t buffer_bytes)
    : path_(std::move(path)), capacity_(buffer_bytes) {
  std::error_code problem;
  if (path_.has_parent_path()) std::filesystem::create_directories(path_.parent_path(), problem);
  if (problem) refuse_file("a folder can't be made", path_.parent_path(), problem.value());
  // Read too, for the last byte; some files (/dev/full, a pipe) can only be written.
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) descriptor_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) refuse_file("a file can't be opened for writing", path_, errno);
  struct stat facts {};
  if (::fstat(descriptor_, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size == 0) return;
  was_empty_ = false;
  char last = '\n';
  was_torn_ = ::pread(descriptor_, &last, 1, facts.st_size - 1) == 1 && last != '\n';
}

AppendFile::~AppendFile() {
  try {
    flush();
  } catch (...) {  // whoever wants to know calls flush()
  }
  ::close(descriptor_);
}

void AppendFile::write(std::string_view bytes) {
  buffer_ += bytes;
  if (buffer_.size() >= capacity_) flush();
}

void AppendFile::flush() {
  size_t written = 0;
  while (written < buffer_.size()) {
    const ssize_t count = ::write(descriptor_, buffer_.data() + written, buffer_.size() - written);
    if (count >= 0) {
      written += static_cast<size_t>(count);
    } else if (errno != EINTR) {
      const int reason = errno;
      buffer_.clear();
      refuse_file("a file can't be written", path_, reason);
    }
  }
  buffer_.clear();
}

}  // namespace athanor::track
