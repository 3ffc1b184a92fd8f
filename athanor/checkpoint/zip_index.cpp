// SPDX-License-Identifier: Apache-2.0
// The directory of a zip archive: its end, its entries, and the header before each content (APPNOTE.TXT of PKWARE).
#include "athanor/checkpoint/zip_index.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <unordered_set>

#include "athanor/checkpoint/safetensors_json.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/utf8.hpp"

namespace athanor {
namespace {

static_assert(std::endian::native == std::endian::little, "archives are little-endian, and so must be this machine");

constexpr std::uint32_t header_signature = 0x04034B50;
constexpr std::uint32_t entry_signature = 0x02014B50;
constexpr std::uint32_t end_signature = 0x06054B50;
constexpr std::uint32_t end64_signature = 0x06064B50;
constexpr std::uint32_t locator_signature = 0x07064B50;
constexpr std::size_t header_bytes = 30;
constexpr std::size_t entry_bytes = 46;
constexpr std::size_t end_bytes = 22;
constexpr std::size_t end64_bytes = 56;
constexpr std::size_t locator_bytes = 20;
constexpr std::uint64_t in_extension = 0xFFFFFFFF;
constexpr std::uint64_t count_in_extension = 0xFFFF;
constexpr auto damaged_archive_advice = "write or download the file again";

template <class T>
T number_at(std::span<const std::byte> bytes, std::uint64_t place) {
  T value{};
  std::memcpy(&value, bytes.data() + place, sizeof(T));
  return value;
}

struct Directory {
  std::uint64_t begin = 0;
  std::uint64_t bytes = 0;
  std::uint64_t entries = 0;
};

struct DirectoryEntry {
  ZipEntry entry;
  std::uint64_t header = 0;
  bool is_folder = false;
};

class DirectoryReader {
 public:
  DirectoryReader(std::span<const std::byte> file, std::string_view file_name) : file_(file), file_name_(file_name) {}

  ZipIndex read() {
    const Directory directory = find_directory();
    std::vector<DirectoryEntry> found = read_entries(directory);
    std::unordered_set<std::string_view> names;
    for (DirectoryEntry& each : found) {
      if (!names.insert(each.entry.name).second) {
        refuse("two files in an archive have the same name", each.entry.name, {}, "each name once");
      }
      place_content(each, directory.begin);
    }
    check_overlap(found);
    ZipIndex index;
    for (DirectoryEntry& each : found) {
      if (!each.is_folder) index.entries.push_back(std::move(each.entry));
    }
    return index;
  }

 private:
  [[noreturn]] void refuse(std::string what, std::string_view name, std::string got = {},
                           std::string expected = {}) const {
    throw Error({.what = std::move(what),
                 .where = std::string(file_name_) + (name.empty() ? "" : ", file '" + shortened(name) + "' in it"),
                 .got = std::move(got),
                 .expected = std::move(expected),
                 .todo = damaged_archive_advice});
  }

  Directory find_directory() const {
    const std::optional<std::uint64_t> end = find_end();
    if (!end) {
      refuse("the file is not a zip archive, or its end is missing", {}, std::to_string(file_.size()) + " bytes",
             "a directory at the end");
    }
    const std::uint32_t disks = number_at<std::uint32_t>(file_, *end + 4);
    if (disks != 0) refuse("an archive in several parts can't be read", {});
    const std::uint64_t entries_here = number_at<std::uint16_t>(file_, *end + 8);
    Directory plain{.begin = number_at<std::uint32_t>(file_, *end + 16),
                    .bytes = number_at<std::uint32_t>(file_, *end + 12),
                    .entries = number_at<std::uint16_t>(file_, *end + 10)};
    std::uint64_t end_of_directory = *end;
    Directory directory = plain;
    if (const auto extension = find_extension(*end)) {
      directory = {.begin = number_at<std::uint64_t>(file_, *extension + 48),
                   .bytes = number_at<std::uint64_t>(file_, *extension + 40),
                   .entries = number_at<std::uint64_t>(file_, *extension + 32)};
      end_of_directory = *extension;
      const auto agree = [](std::uint64_t small, std::uint64_t large, std::uint64_t none) {
        return small == none || small == large;
      };
      if (!agree(plain.begin, directory.begin, in_extension) || !agree(plain.bytes, directory.bytes, in_extension) ||
          !agree(plain.entries, directory.entries, count_in_extension)) {
        refuse("the two ends of an archive contradict each other", {});
      }
    } else if (entries_here != plain.entries) {
      refuse("an archive in several parts can't be read", {});
    }
    if (directory.begin > end_of_directory || directory.bytes != end_of_directory - directory.begin ||
        directory.entries > directory.bytes / entry_bytes) {
      refuse("the directory of an archive does not lie at its end", {},
             std::to_string(directory.entries) + " entries in " + std::to_string(directory.bytes) +
                 " bytes from byte " + std::to_string(directory.begin),
             "a directory up to byte " + std::to_string(end_of_directory));
    }
    return directory;
  }

  /// Where the end begins: a signature with a comment behind it that reaches to the end of the file.
  std::optional<std::uint64_t> find_end() const {
    constexpr std::uint64_t longest_comment = 0xFFFF;
    for (std::uint64_t comment = 0; comment <= longest_comment && comment + end_bytes <= file_.size(); ++comment) {
      const std::uint64_t place = file_.size() - end_bytes - comment;
      if (number_at<std::uint32_t>(file_, place) == end_signature &&
          number_at<std::uint16_t>(file_, place + 20) == comment) {
        return place;
      }
    }
    return std::nullopt;
  }

  /// Where the 64-bit end begins, when there is one.
  std::optional<std::uint64_t> find_extension(std::uint64_t end) const {
    if (end < locator_bytes + end64_bytes) return std::nullopt;
    const std::uint64_t locator = end - locator_bytes;
    if (number_at<std::uint32_t>(file_, locator) != locator_signature) return std::nullopt;
    const auto place = number_at<std::uint64_t>(file_, locator + 8);
    if (place > locator - end64_bytes || number_at<std::uint32_t>(file_, place) != end64_signature ||
        number_at<std::uint64_t>(file_, place + 4) != locator - place - 12 ||
        number_at<std::uint64_t>(file_, place + 16) != 0 ||
        number_at<std::uint64_t>(file_, place + 24) != number_at<std::uint64_t>(file_, place + 32)) {
      refuse("the 64-bit end of an archive is damaged", {});
    }
    return place;
  }

  std::vector<DirectoryEntry> read_entries(const Directory& directory) const {
    std::vector<DirectoryEntry> found;
    found.reserve(directory.entries);
    const std::uint64_t end = directory.begin + directory.bytes;
    std::uint64_t place = directory.begin;
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
      const std::string which = "entry " + std::to_string(i) + " of its directory";
      if (end - place < entry_bytes || number_at<std::uint32_t>(file_, place) != entry_signature) {
        refuse("the directory of an archive is damaged", {}, which);
      }
      const std::uint64_t name_bytes = number_at<std::uint16_t>(file_, place + 28);
      const std::uint64_t extra_bytes = number_at<std::uint16_t>(file_, place + 30);
      const std::uint64_t comment_bytes = number_at<std::uint16_t>(file_, place + 32);
      if (end - place - entry_bytes < name_bytes + extra_bytes + comment_bytes) {
        refuse("the directory of an archive is damaged", {}, which);
      }
      found.push_back(read_entry(place, name_bytes, extra_bytes));
      place += entry_bytes + name_bytes + extra_bytes + comment_bytes;
    }
    if (place != end) refuse("the directory of an archive is longer than its entries", {});
    return found;
  }

  DirectoryEntry read_entry(std::uint64_t place, std::uint64_t name_bytes, std::uint64_t extra_bytes) const {
    DirectoryEntry found;
    found.entry.name = text_at(place + entry_bytes, name_bytes);
    found.is_folder = found.entry.name.ends_with('/');
    check_name(found.entry.name);
    const std::string& name = found.entry.name;
    const unsigned flags = number_at<std::uint16_t>(file_, place + 8);
    const unsigned method = number_at<std::uint16_t>(file_, place + 10);
    if ((flags & 0x2041U) != 0) refuse("a file in an archive is encrypted", name);
    found.entry.is_compressed = method != 0;
    found.entry.crc32 = number_at<std::uint32_t>(file_, place + 16);
    found.entry.bytes = number_at<std::uint32_t>(file_, place + 20);
    std::uint64_t unpacked = number_at<std::uint32_t>(file_, place + 24);
    found.header = number_at<std::uint32_t>(file_, place + 42);
    read_extension(place + entry_bytes + name_bytes, extra_bytes, {&unpacked, &found.entry.bytes, &found.header}, name);
    if ((!found.entry.is_compressed && found.entry.bytes != unpacked) || (found.is_folder && found.entry.bytes != 0)) {
      refuse("a file in an archive has another length than the archive keeps of it", name,
             std::to_string(found.entry.bytes), std::to_string(unpacked));
    }
    return found;
  }

  /// Replaces the numbers that did not fit into 32 bits, in their order, by those of the 64-bit extension.
  void read_extension(std::uint64_t place, std::uint64_t bytes, std::array<std::uint64_t*, 3> numbers,
                      const std::string& name) const {
    constexpr std::uint16_t extension = 1;
    constexpr std::uint64_t field_bytes = 4;
    bool found = false;
    while (bytes >= field_bytes) {
      const auto kind = number_at<std::uint16_t>(file_, place);
      const std::uint64_t length = number_at<std::uint16_t>(file_, place + 2);
      if (bytes - field_bytes < length) break;
      if (kind == extension && !found) {
        found = true;
        std::uint64_t used = 0;
        for (std::uint64_t* number : numbers) {
          if (*number != in_extension) continue;
          if (length - used < sizeof(std::uint64_t)) refuse("the directory of an archive is damaged", name);
          *number = number_at<std::uint64_t>(file_, place + field_bytes + used);
          used += sizeof(std::uint64_t);
        }
      }
      place += field_bytes + length;
      bytes -= field_bytes + length;
    }
  }

  void check_name(const std::string& name) const {
    bool good = !name.empty() && is_utf8(name) && name.find_first_of(std::string_view("\\\0", 2)) == std::string::npos;
    for (std::size_t begin = 0; good && begin < name.size();) {
      const std::size_t slash = std::min(name.find('/', begin), name.size());
      const std::string_view part = std::string_view(name).substr(begin, slash - begin);
      good = !part.empty() && part != "." && part != "..";
      begin = slash + 1;
    }
    if (!good) refuse("a file in an archive has a name that leads out of it or is no path", name);
  }

  void place_content(DirectoryEntry& each, std::uint64_t limit) const {
    const std::string& name = each.entry.name;
    if (each.header > limit || limit - each.header < header_bytes ||
        number_at<std::uint32_t>(file_, each.header) != header_signature) {
      refuse("a file in an archive has no header where the directory says", name,
             "byte " + std::to_string(each.header));
    }
    const std::uint64_t name_bytes = number_at<std::uint16_t>(file_, each.header + 26);
    const std::uint64_t extra_bytes = number_at<std::uint16_t>(file_, each.header + 28);
    const std::uint64_t rest = limit - each.header - header_bytes;
    if (rest < name_bytes + extra_bytes || rest - name_bytes - extra_bytes < each.entry.bytes) {
      refuse("the content of a file in an archive lies outside it", name,
             std::to_string(each.entry.bytes) + " bytes from byte " + std::to_string(each.header));
    }
    if (text_at(each.header + header_bytes, name_bytes) != name ||
        (number_at<std::uint16_t>(file_, each.header + 8) != 0) != each.entry.is_compressed) {
      refuse("the directory of an archive and the header of a file contradict each other", name);
    }
    each.entry.begin = each.header + header_bytes + name_bytes + extra_bytes;
  }

  void check_overlap(const std::vector<DirectoryEntry>& found) const {
    std::vector<const DirectoryEntry*> by_place;
    by_place.reserve(found.size());
    for (const DirectoryEntry& each : found) by_place.push_back(&each);
    std::sort(by_place.begin(), by_place.end(),
              [](const DirectoryEntry* left, const DirectoryEntry* right) { return left->header < right->header; });
    for (std::size_t i = 1; i < by_place.size(); ++i) {
      const ZipEntry& before = by_place[i - 1]->entry;
      if (by_place[i]->header < before.begin + before.bytes) {
        refuse("two files in an archive overlap", by_place[i]->entry.name,
               "the other is '" + shortened(before.name) + "'");
      }
    }
  }

  std::string text_at(std::uint64_t place, std::uint64_t bytes) const {
    return {reinterpret_cast<const char*>(file_.data()) + place, static_cast<std::size_t>(bytes)};
  }

  std::span<const std::byte> file_;
  std::string_view file_name_;
};

}  // namespace

const ZipEntry* ZipIndex::find(std::string_view name) const noexcept {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const ZipEntry& each) { return each.name == name; });
  return found != entries.end() ? &*found : nullptr;
}

bool looks_like_zip(std::span<const std::byte> file) noexcept {
  return file.size() >= 2 && file[0] == std::byte{'P'} && file[1] == std::byte{'K'};
}

ZipIndex parse_zip(std::span<const std::byte> file, std::string_view file_name) {
  return DirectoryReader(file, file_name).read();
}

std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  if (bytes.empty()) return before;
  return static_cast<std::uint32_t>(::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace athanor
