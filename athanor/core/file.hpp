// SPDX-License-Identifier: Apache-2.0
// Files: read by mapping, written so that a crash leaves the old one or the new one, and folders proven writable.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace athanor {

/// A regular file mapped into memory, closed when this goes out of scope.
///
/// The pages are private and copied on write: `mutable_bytes()` may be written to, the file never changes by it. What
/// is not touched is not read, so opening costs the same for a kilobyte and for a terabyte.
///
/// The file must keep its length while it is mapped: when another program cuts it short, touching the lost pages ends
/// the process (SIGBUS). Replacing it by `write_file_atomically` is safe; the mapping then shows the old content.
///
/// Reading from several threads is safe; writing to the same bytes is not.
class MappedFile {
 public:
  /// Maps the file at `path`. Throws Error when it is missing, can't be read or is no regular file.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// The content, empty for an empty file. Valid as long as this object lives and is not moved from.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept;

  /// The same bytes for writing, seen by this mapping only.
  [[nodiscard]] std::span<std::byte> mutable_bytes() noexcept;

  /// Tells the system that the bytes will be read once from front to end, so that it reads ahead. A hint, never fails.
  void advise_sequential() const noexcept;

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The file that is being written by `write_file_atomically`; it exists only inside the function given there.
class FileWriter {
 public:
  /// Appends bytes. Throws Error with the system's words when that fails, for example on a full disk.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);

 private:
  friend void write_file_atomically(const std::filesystem::path& path, const std::function<void(FileWriter&)>& fill);
  FileWriter(int descriptor, const std::filesystem::path& path) : descriptor_(descriptor), path_(path) {}

  int descriptor_;
  const std::filesystem::path& path_;
};

/// Writes a file as a whole or not at all: `fill` writes into a temporary file in the same folder, which is flushed to
/// the disk and then renamed to `path`, and the folder is flushed too. A reader, and a machine that loses power at any
/// moment, sees the old content or all of the new one. When something fails the temporary file is removed and `path` is
/// left as it was; a killed process may leave a hidden file `.athanor-*.tmp` behind.
///
/// An existing file keeps its permissions; a symbolic link at `path` is replaced by the file. The folder must exist.
///
/// Throws Error when the folder is missing or can't be written to, when `path` is a folder, and when the disk is full;
/// what `fill` throws passes through. Different paths may be written from several threads at once; of several
/// writers of one path, the last to finish wins.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(FileWriter&)>& fill);
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// Makes sure that files can be made in the folder at `path`: creates it with all folders above it where they are
/// missing, then proves it by writing a probe file and removing it. Throws Error with the reason when that is not so.
void require_writable_directory(const std::filesystem::path& path);

}  // namespace athanor
