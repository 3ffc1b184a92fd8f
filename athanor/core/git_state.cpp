// SPDX-License-Identifier: Apache-2.0
// The formats are told in git's Documentation: gitformat-index, gitrepository-layout.
#include "athanor/core/git_state.hpp"

#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/sha1.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_index_bytes = std::size_t{64} << 20;
constexpr std::size_t most_tracked_files = 50'000;
constexpr std::size_t most_hashed_bytes = std::size_t{32} << 20;
constexpr std::size_t most_named_files = 20;

/// The first bytes of a small text file without its line end; empty when there is none.
std::string text_in(const fs::path& path, std::size_t most_bytes = 4096) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return {};
  try {
    const MappedFile file(path);
    const auto bytes = file.bytes().first(std::min(most_bytes, file.bytes().size()));
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    text.erase(text.find_last_not_of("\r\n ") + 1);
    return text;
  } catch (const Error&) {
    return {};
  }
}

bool is_object_name(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

struct GitFolders {
  fs::path own;     // of this worktree: HEAD, index
  fs::path common;  // of the repository: refs, objects
};

/// What `.git` is: a folder, or a file that tells where it is.
std::optional<GitFolders> folders_of(const fs::path& tree) {
  std::error_code ignored;
  fs::path own = tree / ".git";
  if (fs::is_regular_file(own, ignored)) {
    constexpr std::string_view key = "gitdir: ";
    const std::string text = text_in(own);
    if (!text.starts_with(key)) return std::nullopt;
    own = tree / text.substr(key.size());
  }
  if (!fs::is_directory(own, ignored)) return std::nullopt;
  const std::string common = text_in(own / "commondir");
  return GitFolders{.own = own, .common = common.empty() ? own : own / common};
}

std::string packed_ref(const fs::path& common, const std::string& name) {
  const std::string text = text_in(common / "packed-refs", most_index_bytes);
  const std::string line_end = " " + name;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    if (line.ends_with(line_end)) return std::string(line.substr(0, line.size() - line_end.size()));
    begin = end + 1;
  }
  return {};
}

void read_head(const GitFolders& folders, GitState& state) {
  constexpr std::string_view key = "ref: ", branches = "refs/heads/";
  const std::string head = text_in(folders.own / "HEAD");
  std::string commit = head;
  if (head.starts_with(key)) {
    const std::string ref = head.substr(key.size());
    if (!ref.starts_with("refs/") || ref.find("..") != std::string::npos) return;
    if (ref.starts_with(branches)) state.branch = ref.substr(branches.size());
    commit = text_in(folders.own / ref);
    if (commit.empty()) commit = text_in(folders.common / ref);
    if (commit.empty()) commit = packed_ref(folders.common, ref);
  }
  if (is_object_name(commit)) state.commit = commit;
}

/// The tree of a commit whose object is a file of its own; empty when it lies in a pack.
std::string tree_of_commit(const fs::path& common, const std::string& commit) {
  std::error_code ignored;
  const fs::path path = common / "objects" / commit.substr(0, 2) / commit.substr(2);
  if (!fs::is_regular_file(path, ignored)) return {};
  try {
    const MappedFile file(path);
    std::array<char, 512> text{};
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) return {};
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(file.bytes().data()));
    stream.avail_in = static_cast<uInt>(std::min<std::size_t>(file.bytes().size(), 1 << 20));
    stream.next_out = reinterpret_cast<Bytef*>(text.data());
    stream.avail_out = text.size();
    inflate(&stream, Z_SYNC_FLUSH);
    const std::string_view content(text.data(), text.size() - stream.avail_out);
    inflateEnd(&stream);
    const std::size_t begin = content.find(std::string_view("\0tree ", 6));
    if (!content.starts_with("commit ") || begin == std::string_view::npos) return {};
    const std::string_view name = content.substr(begin + 6, 40);
    return is_object_name(name) ? std::string(name) : std::string();
  } catch (const Error&) {
    return {};
  }
}

struct GitIndexEntry {
  std::uint32_t seconds = 0;
  std::uint32_t nanoseconds = 0;
  std::uint32_t mode = 0;
  std::uint32_t size = 0;
  std::string object = {};
  std::string path = {};
  bool skipped = false;  // git was told not to look at it
  bool unusual = false;  // a conflict, or only announced
};

/// Reads the index from front to back; `failed` once something does not fit.
class GitIndexReader {
 public:
  explicit GitIndexReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] std::size_t left() const noexcept { return bytes_.size() - at_; }

  std::string_view take(std::size_t count) {
    if (failed_ || left() < count) {
      failed_ = true;
      return {};
    }
    const std::string_view taken(reinterpret_cast<const char*>(bytes_.data() + at_), count);
    at_ += count;
    return taken;
  }
  std::uint32_t number(std::size_t bytes) {
    std::uint32_t value = 0;
    for (const char c : take(bytes)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  std::string_view until_zero() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data() + at_), left());
    const std::size_t end = rest.find('\0');
    if (end == std::string_view::npos) {
      failed_ = true;
      return {};
    }
    at_ += end + 1;
    return rest.substr(0, end);
  }

  GitIndexEntry entry(std::uint32_t version, const std::string& path_before) {
    const std::size_t begin = at_;
    GitIndexEntry entry;
    take(8);
    entry.seconds = number(4);
    entry.nanoseconds = number(4);
    take(8);
    entry.mode = number(4);
    take(8);
    entry.size = number(4);
    entry.object = hexadecimal(take(20));
    const std::uint32_t flags = number(2);
    const std::uint32_t more = (flags & 0x4000) != 0 ? number(2) : 0;
    entry.skipped = (flags & 0x8000) != 0 || (more & 0x4000) != 0;
    entry.unusual = (flags & 0x3000) != 0 || (more & 0x2000) != 0;
    if (version == 4) {
      const std::size_t dropped = variable_number();
      if (dropped > path_before.size()) failed_ = true;
      if (failed_) return entry;
      entry.path = path_before.substr(0, path_before.size() - dropped) + std::string(until_zero());
    } else {
      entry.path = until_zero();
      const std::size_t length = at_ - begin;
      take((8 - length % 8) % 8);
    }
    return entry;
  }

  static std::string hexadecimal(std::string_view bytes) {
    constexpr const char* digits = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
      text += digits[static_cast<unsigned char>(c) >> 4];
      text += digits[static_cast<unsigned char>(c) & 15];
    }
    return text;
  }

 private:
  std::size_t variable_number() {
    std::uint32_t byte = number(1);
    std::size_t value = byte & 127;
    while ((byte & 128) != 0 && !failed_) {
      byte = number(1);
      value = ((value + 1) << 7) | (byte & 127);
    }
    return value;
  }

  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

struct GitIndex {
  std::vector<GitIndexEntry> entries;
  std::optional<std::string> tree;  // the tree of all entries, where it is known; empty when something is staged
};

std::optional<GitIndex> parse_index(std::span<const std::byte> bytes) {
  GitIndexReader reader(bytes);
  if (reader.take(4) != "DIRC") return std::nullopt;
  const std::uint32_t version = reader.number(4);
  const std::uint32_t count = reader.number(4);
  if (version < 2 || version > 4 || count > most_tracked_files) return std::nullopt;
  GitIndex index;
  std::string path;
  for (std::uint32_t i = 0; i < count && !reader.failed(); ++i) {
    index.entries.push_back(reader.entry(version, path));
    path = index.entries.back().path;
  }
  constexpr std::size_t checksum_bytes = 20;
  while (!reader.failed() && reader.left() > checksum_bytes) {
    const std::string_view name = reader.take(4);
    const std::string_view content = reader.take(reader.number(4));
    if (name == "link" || name == "sdir") return std::nullopt;
    if (name != "TREE" || content.empty() || content[0] != '\0') continue;
    const std::size_t line = content.find('\n');
    const bool valid =
        content.size() > 1 && content[1] != '-' && line != std::string_view::npos && content.size() >= line + 1 + 20;
    index.tree = valid ? GitIndexReader::hexadecimal(content.substr(line + 1, 20)) : std::string();
  }
  if (reader.failed()) return std::nullopt;
  return index;
}

/// Compares tracked files with the index.
class WorkingTree {
 public:
  WorkingTree(fs::path folder, timespec index_time) : folder_(std::move(folder)), index_time_(index_time) {}

  /// Unset: it would take reading more than is allowed.
  std::optional<bool> differs(const GitIndexEntry& entry) {
    constexpr std::uint32_t kinds = 0170000, submodule = 0160000, link = 0120000;
    if (entry.skipped || (entry.mode & kinds) == submodule) return false;
    if (entry.unusual) return true;
    const fs::path path = folder_ / entry.path;
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return true;
    const bool is_link = (entry.mode & kinds) == link;
    if (is_link != S_ISLNK(status.st_mode) || (!is_link && !S_ISREG(status.st_mode))) return true;
    if (!is_link && ((entry.mode & 0100) != 0) != ((status.st_mode & 0100) != 0)) return true;
    const bool same_size = entry.size == static_cast<std::uint32_t>(status.st_size);
    if (!same_size && entry.size != 0) return true;  // 0 is how git marks what has to be read
    if (same_size && is_settled(entry, status.st_mtim)) return false;
    return content_differs(entry, path, is_link, static_cast<std::size_t>(status.st_size));
  }

 private:
  [[nodiscard]] bool is_settled(const GitIndexEntry& entry, const timespec& time) const {
    if (entry.seconds != static_cast<std::uint32_t>(time.tv_sec)) return false;
    if (entry.nanoseconds != 0 && entry.nanoseconds != static_cast<std::uint32_t>(time.tv_nsec)) return false;
    return std::pair(time.tv_sec, time.tv_nsec) < std::pair(index_time_.tv_sec, index_time_.tv_nsec);
  }

  std::optional<bool> content_differs(const GitIndexEntry& entry, const fs::path& path, bool is_link,
                                      std::size_t size) {
    if (hashed_ + size > most_hashed_bytes) return std::nullopt;
    hashed_ += size;
    std::error_code failed;
    std::string object;
    if (is_link) {
      object = fs::read_symlink(path, failed).string();
    } else {
      try {
        const MappedFile file(path);
        object.assign(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
      } catch (const Error&) {
        return std::nullopt;
      }
    }
    object = "blob " + std::to_string(object.size()) + std::string(1, '\0') + object;
    return sha1_text(std::as_bytes(std::span(object))) != entry.object;
  }

  fs::path folder_;
  timespec index_time_;
  std::size_t hashed_ = 0;
};

void compare_files(const GitFolders& folders, GitState& state) {
  const fs::path path = folders.own / "index";
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || static_cast<std::size_t>(status.st_size) > most_index_bytes) return;
  if (state.commit.size() == 64) return;
  const MappedFile file(path);
  const auto index = parse_index(file.bytes());
  if (!index) return;
  WorkingTree tree(state.folder, status.st_mtim);
  bool unknown = false, changed = false;
  for (const GitIndexEntry& entry : index->entries) {
    const auto differs = tree.differs(entry);
    unknown = unknown || !differs;
    if (!differs.value_or(false)) continue;
    changed = true;
    if (state.changed.size() < most_named_files) state.changed.push_back(entry.path);
  }
  if (changed) {
    state.dirty = true;
    return;
  }
  if (unknown || !index->tree) return;
  const std::string committed = state.commit.empty() ? std::string() : tree_of_commit(folders.common, state.commit);
  state.dirty = index->tree->empty() || (!committed.empty() && committed != *index->tree);
}

}  // namespace

std::optional<GitState> git_state(const fs::path& inside) {
  std::error_code failed;
  fs::path folder = fs::absolute(inside, failed);
  if (failed) return std::nullopt;
  for (;; folder = folder.parent_path()) {
    if (const auto folders = folders_of(folder)) {
      GitState state{.folder = folder};
      try {
        read_head(*folders, state);
        compare_files(*folders, state);
      } catch (const Error&) {  // a file that goes meanwhile: not known
      }
      return state;
    }
    if (folder == folder.root_path() || !folder.has_parent_path()) return std::nullopt;
  }
}

}  // namespace athanor
