// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/spool.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <numeric>
#include <optional>
#include <system_error>
#include <utility>

#include "athanor/core/file.hpp"
#include "athanor/track/crc32c.hpp"
#include "athanor/track/event_file.hpp"

namespace athanor::track {
namespace {

constexpr size_t record_frame = 16;
constexpr uint64_t longest_record = uint64_t{64} << 20;
constexpr std::string_view prefix_of_files = "records-";

uint64_t little_endian_at(const char* bytes, int size) {
  uint64_t value = 0;
  for (int i = size - 1; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// The record that begins where the stream stands; nothing when there is no whole one.
std::optional<std::string> read_record(std::istream& stream) {
  char head[12];
  if (!stream.read(head, sizeof head)) return std::nullopt;
  const uint64_t length = little_endian_at(head, 8);
  if (little_endian_at(head + 8, 4) != masked(crc32c({head, 8})) || length > longest_record) return std::nullopt;
  std::string content(length, '\0');
  char check_sum[4];
  if (!stream.read(content.data(), static_cast<std::streamsize>(length)) || !stream.read(check_sum, 4)) {
    return std::nullopt;
  }
  if (little_endian_at(check_sum, 4) != masked(crc32c(content))) return std::nullopt;
  return content;
}

std::optional<int64_t> number_of_file(const std::string& name) {
  if (!name.starts_with(prefix_of_files)) return std::nullopt;
  int64_t number = 0;
  const char* end = name.data() + name.size();
  const auto [stop, problem] = std::from_chars(name.data() + prefix_of_files.size(), end, number);
  if (problem != std::errc() || stop != end || number < 1) return std::nullopt;
  return number;
}

std::filesystem::path writable(std::filesystem::path folder) {
  require_writable_directory(folder);
  return folder;
}

}  // namespace

Spool::Spool(std::filesystem::path folder, size_t bytes)
    : folder_(writable(std::move(folder))), bound_(std::max<size_t>(bytes, 4096)), lock_(FolderLock::lock(folder_)) {
  remove_leftovers(folder_);
  read_folder();
}

std::filesystem::path Spool::path_of(int64_t file) const {
  std::string digits = std::to_string(file);
  digits.insert(0, digits.size() < 12 ? 12 - digits.size() : 0, '0');
  return folder_ / (std::string(prefix_of_files) + digits);
}

void Spool::read_folder() {
  std::ifstream(folder_ / "sent") >> sent_;
  next_ = sent_ + 1;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (const auto number = number_of_file(entry.path().filename().string())) files_[*number] = {};
  }
  for (auto each = files_.begin(); each != files_.end();) {
    auto& [first, file] = *each;
    std::ifstream stream(path_of(first), std::ios::binary);
    uint64_t offset = 0;
    for (std::optional<std::string> content; (content = read_record(stream)); file.records += 1) {
      if (at_file_ == 0 && first + file.records > sent_) std::tie(at_file_, at_offset_) = std::pair(first, offset);
      offset += content->size() + record_frame;
    }
    file.bytes = offset;
    next_ = std::max(next_, first + file.records);
    if (file.records > 0 && first + file.records - 1 > sent_) {
      ++each;
      continue;
    }
    std::error_code ignored;
    std::filesystem::remove(path_of(first), ignored);
    each = files_.erase(each);
  }
}

void Spool::open_file() {
  // After a record that was written in part its number is used again, for another file.
  std::error_code ignored;
  std::filesystem::remove(path_of(next_), ignored);
  file_ = std::make_unique<AppendFile>(path_of(next_));
  files_[next_] = {};
  if (at_file_ == 0) std::tie(at_file_, at_offset_) = std::pair(next_, uint64_t{0});
}

bool Spool::append(std::string_view content, Need need) {
  const std::lock_guard lock(mutex_);
  const size_t size = content.size() + record_frame;
  size_t held = 0;
  for (const auto& [first, file] : files_) held += file.bytes;
  if (content.size() > longest_record || held + size > bound_ + (need == Need::essential ? bound_ / 8 : 0)) {
    dropped_ += 1;
    return false;
  }
  if (file_ != nullptr && files_.rbegin()->second.bytes + size > bound_ / 8) file_.reset();
  if (file_ == nullptr) open_file();
  try {
    file_->write(frame_record(content));
    file_->flush();
  } catch (...) {
    file_.reset();
    if (files_.rbegin()->second.records == 0) {
      if (at_file_ == files_.rbegin()->first) at_file_ = 0;
      files_.erase(std::prev(files_.end()));
    }
    throw;
  }
  files_.rbegin()->second.bytes += size;
  files_.rbegin()->second.records += 1;
  next_ += 1;
  return true;
}

std::vector<Spool::Record> Spool::oldest(size_t count, size_t bytes) {
  const std::lock_guard lock(mutex_);
  std::vector<Record> records;
  size_t taken = 0;
  uint64_t offset = at_offset_;
  for (auto file = files_.find(at_file_); file != files_.end(); ++file, offset = 0) {
    const auto& [first, facts] = *file;
    if (offset >= facts.bytes) continue;
    int64_t number = file->first == at_file_ ? std::max(first, sent_ + 1) : first;
    std::ifstream stream(path_of(first), std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(offset));
    while (offset < facts.bytes && records.size() < count) {
      std::optional<std::string> content = read_record(stream);
      if (!content) break;  // damaged since it was written
      taken += content->size();
      if (taken > bytes && !records.empty()) return records;
      offset += content->size() + record_frame;
      records.push_back({.number = number++, .content = std::move(*content), .file = first, .next = offset});
    }
    if (records.size() >= count) break;
  }
  return records;
}

void Spool::acknowledge(const Record& record) {
  write_file_atomically(folder_ / "sent", std::to_string(record.number) + "\n");
  const std::lock_guard lock(mutex_);
  sent_ = record.number;
  at_file_ = record.file;
  at_offset_ = record.next;
  for (auto file = files_.begin(); file != files_.end();) {
    const bool is_open = file_ != nullptr && std::next(file) == files_.end();
    const bool is_read = file->first < at_file_ || (file->first == at_file_ && at_offset_ >= file->second.bytes);
    if (!is_read) break;
    // The last one is closed here too when it is read to its end: an idle spool holds no records.
    if (is_open) file_.reset();
    std::error_code ignored;
    std::filesystem::remove(path_of(file->first), ignored);
    file = files_.erase(file);
  }
  if (!files_.contains(at_file_))
    std::tie(at_file_, at_offset_) = std::pair(files_.empty() ? 0 : files_.begin()->first, 0);
}

int64_t Spool::waiting() const {
  const std::lock_guard lock(mutex_);
  int64_t count = 0;
  for (const auto& [first, file] : files_) {
    count += file.records - std::clamp<int64_t>(sent_ + 1 - first, 0, file.records);
  }
  return count;
}

int64_t Spool::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

size_t Spool::bytes() const {
  const std::lock_guard lock(mutex_);
  return std::accumulate(files_.begin(), files_.end(), size_t{0},
                         [](size_t sum, const auto& file) { return sum + file.second.bytes; });
}

}  // namespace athanor::track
