// SPDX-License-Identifier: Apache-2.0
// What is to be sent to a service, kept on disk until the service has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/core/folder.hpp"
#include "athanor/track/append_file.hpp"

namespace athanor::track {

/// A queue of records in a folder. A record that was appended is there after the program is killed; a crash of the
/// machine may take the last ones. Files `records-NUMBER` hold them, each with its checksum; the file `sent` holds the
/// number of the last one that was acknowledged, written atomically. A file whose records are all acknowledged is
/// removed. A torn end, or a damaged record, costs that record and what stands behind it in its file.
///
/// Thread-safe. One object, of one process, for a folder.
class Spool {
 public:
  struct Record {
    int64_t number = 0;  ///< From 1 on, rising.
    std::string content = {};
    int64_t file = 0;   ///< Where it lies: the number of its file,
    uint64_t next = 0;  ///< and where the next one begins.
  };
  /// What happens to a record when the spool is full.
  enum class Need {
    ordinary,   ///< It is dropped, and counted.
    essential,  ///< It is still taken, until the spool is an eighth above its bound.
  };

  /// Makes the folder where it is missing and reads what earlier programs have left. `bytes`: the bound of the files
  /// together; a file has an eighth of it. Throws Error when the folder can't be written, and when another spool holds
  /// it.
  explicit Spool(std::filesystem::path folder, size_t bytes = size_t{256} << 20);
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  /// Hands the record to the system. False: it was dropped. Throws Error when the disk refuses it; the next one is
  /// tried again.
  bool append(std::string_view content, Need need = Need::ordinary);
  /// The oldest records that are not acknowledged: at most `count`, and no more than `bytes` of them, but one.
  [[nodiscard]] std::vector<Record> oldest(size_t count, size_t bytes);
  /// Everything up to this record is with the service. Throws Error when that can't be written.
  void acknowledge(const Record& record);

  [[nodiscard]] int64_t waiting() const;  ///< Records that are not acknowledged.
  [[nodiscard]] int64_t dropped() const;  ///< Records that were dropped by this object.
  [[nodiscard]] size_t bytes() const;     ///< Of all files.
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

 private:
  struct File {
    size_t bytes = 0;
    int64_t records = 0;  // that can be read
  };

  [[nodiscard]] std::filesystem::path path_of(int64_t file) const;
  void read_folder();
  void open_file();

  std::filesystem::path folder_;
  size_t bound_;
  FolderLock lock_;

  mutable std::mutex mutex_;
  std::map<int64_t, File> files_;     // by the number of their first record
  std::unique_ptr<AppendFile> file_;  // the last one of these; null: the next record begins one
  int64_t next_ = 1;                  // number of the next record
  int64_t sent_ = 0;
  int64_t dropped_ = 0;
  int64_t at_file_ = 0;     // where the oldest record that is not acknowledged lies
  uint64_t at_offset_ = 0;  // in that file
};

}  // namespace athanor::track
