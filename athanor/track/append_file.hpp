// SPDX-License-Identifier: Apache-2.0
// A file that grows: a log, a table, a file of events.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace athanor::track {

/// Appends to a file through a buffer. What was flushed survives a crash of the process; it is not forced to the disk.
/// For one thread.
class AppendFile {
 public:
  /// Opens the file at its end and makes it, with the folders above it, where it is missing. Throws Error with the
  /// system's words when that fails.
  explicit AppendFile(std::filesystem::path path, size_t buffer_bytes = size_t{64} << 10);
  /// Flushes; a failure is lost here, so call `flush` first.
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Throws Error when the buffer is full and can't be written, for example on a full disk. What was lost then stays
  /// lost.
  void write(std::string_view bytes);
  /// Hands the buffer to the system. Throws as `write` does.
  void flush();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  /// Whether the file held nothing when it was opened.
  [[nodiscard]] bool was_empty() const noexcept { return was_empty_; }
  /// Whether the file ended within a line when it was opened: a program was killed while it wrote.
  [[nodiscard]] bool was_torn() const noexcept { return was_torn_; }

 private:
  std::filesystem::path path_;
  size_t capacity_;
  std::string buffer_;
  int descriptor_ = -1;
  bool was_empty_ = true;
  bool was_torn_ = false;
};

}  // namespace athanor::track
