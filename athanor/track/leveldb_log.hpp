// SPDX-License-Identifier: Apache-2.0
// The log that Weights & Biases keeps a run in: that of LevelDB
// (https://github.com/google/leveldb/blob/main/doc/log_format.md), with a head of its own and CRC-32 for a checksum.
#pragma once

#include <filesystem>
#include <string_view>

#include "athanor/track/append_file.hpp"

namespace athanor::track {

/// One growing log. For one thread.
class LevelDbLog {
 public:
  /// Makes the file, which must not be there, and writes its head. Throws Error when it can't be made.
  explicit LevelDbLog(const std::filesystem::path& path);

  /// Throws Error when the file can't be written.
  void write(std::string_view record);
  void flush() { file_.flush(); }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return file_.path(); }

 private:
  void write_piece(int type, std::string_view data);

  AppendFile file_;
  size_t offset_ = 0;  // in the running block of 32 KiB
};

}  // namespace athanor::track
