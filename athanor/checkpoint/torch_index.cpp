// SPDX-License-Identifier: Apache-2.0
// The two formats of torch.save: an archive with a pickle and a file for each storage, and, before 1.6, one pickle
// after the other (torch/serialization.py, _load and _legacy_load).
#include "athanor/checkpoint/torch_index.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "athanor/checkpoint/safetensors_json.hpp"
#include "athanor/checkpoint/torch_values.hpp"
#include "athanor/core/error.hpp"

namespace athanor {
namespace {

constexpr std::string_view pickle_suffix = "/data.pkl";

/// What all names of an archive begin with, as `net/`.
std::string_view archive_root(const ZipIndex& archive) {
  if (archive.entries.empty()) return {};
  const std::string_view first = archive.entries.front().name;
  const std::size_t slash = first.find('/');
  return slash == std::string_view::npos ? std::string_view() : first.substr(0, slash + 1);
}

std::span<const std::byte> entry_content(std::span<const std::byte> file, const ZipEntry& entry) {
  return file.subspan(entry.begin, entry.bytes);
}

std::string text_of_bytes(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void refuse_byte_order(std::string_view file_name, std::string got) {
  throw Error({.what = "a .pt file was written on a machine whose numbers are stored the other way round",
               .where = std::string(file_name),
               .got = shortened(got),
               .expected = "little",
               .todo = "load it in Python on a machine like this one and write it again"});
}

void require_stored(const ZipEntry& entry, std::string_view file_name) {
  if (!entry.is_compressed) return;
  throw Error({.what = "a file in an archive is compressed",
               .where = std::string(file_name) + ", file '" + shortened(entry.name) + "' in it",
               .expected = "files as torch.save stores them",
               .todo = "unpack it and pack it again by zip -0, or load it in Python and write it again"});
}

/// A file of the format before 1.6.
class LegacyReader {
 public:
  LegacyReader(std::span<const std::byte> file, std::string_view file_name) : file_(file), file_name_(file_name) {}

  TorchIndex read() {
    check_begin();
    const std::size_t object_begin = place_;
    const Pickle object = next();
    TorchIndex index;
    read_torch_values(
        object, place_ - object_begin, file_name_,
        [&](const TorchStorageRequest& request, std::string& problem) { return find(request, problem, index); }, index);
    place_storages(index);
    return index;
  }

 private:
  [[noreturn]] void refuse(std::string what, std::string got = {}, std::string expected = {}) const {
    throw Error({.what = std::move(what),
                 .where = std::string(file_name_) + ", byte " + std::to_string(place_),
                 .got = shortened(got),
                 .expected = std::move(expected),
                 .todo = "check that this is a file of torch.save, or write it again"});
  }

  Pickle next() {
    const std::string where = std::string(file_name_) + ", pickle from byte " + std::to_string(place_);
    Pickle pickle = parse_pickle(file_.subspan(place_), where);
    place_ += pickle.bytes_read();
    return pickle;
  }

  void check_begin() {
    constexpr std::string_view magic{"\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19", 10};
    const Pickle number = next();
    if (number.kind(number.root()) != PickleKind::large_integer || number.text(number.root()) != magic) {
      refuse("the file is neither an archive of torch.save nor of its older format");
    }
    const Pickle version = next();
    if (version.kind(version.root()) != PickleKind::integer || version.integer(version.root()) != 1001) {
      refuse("the file has a version of torch.save's older format that is not known here", {}, "1001");
    }
    const Pickle system = next();
    if (system.kind(system.root()) != PickleKind::dictionary) refuse("the file does not tell how it was written");
    const auto items = system.children(system.root());
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      if (system.kind(items[i]) == PickleKind::text && system.text(items[i]) == "little_endian" &&
          system.kind(items[i + 1]) == PickleKind::boolean && !system.boolean(items[i + 1])) {
        refuse_byte_order(file_name_, "big");
      }
    }
  }

  std::optional<std::size_t> find(const TorchStorageRequest& request, std::string& problem, TorchIndex& index) {
    const auto [known, is_new] = storages_.try_emplace(request.key, Known{index.storages.size(), request.dtype});
    if (is_new) {
      index.storages.push_back({.name = request.key, .bytes = request.bytes});
      return known->second.index;
    }
    if (request.bytes <= index.storages[known->second.index].bytes) return known->second.index;
    problem = std::to_string(index.storages[known->second.index].bytes) + " bytes of storage " + request.key;
    return std::nullopt;
  }

  /// Behind the object come the keys of the storages and then, in that order, the length and the data of each.
  void place_storages(TorchIndex& index) {
    const Pickle keys = next();
    if (keys.kind(keys.root()) != PickleKind::list) refuse("the file does not list its storages");
    for (const PickleId id : keys.children(keys.root())) {
      const std::string key = keys.kind(id) == PickleKind::integer ? std::to_string(keys.integer(id))
                              : keys.kind(id) == PickleKind::text  ? std::string(keys.text(id))
                                                                   : std::string();
      const auto known = storages_.find(key);
      if (known == storages_.end()) refuse("the file lists a storage that no tensor needs, or one twice", key);
      TorchStorage& storage = index.storages[known->second.index];
      std::uint64_t elements = 0;
      if (file_.size() - place_ < sizeof(elements)) refuse("the file ends before the data of a storage", key);
      std::memcpy(&elements, file_.data() + place_, sizeof(elements));
      place_ += sizeof(elements);
      const std::uint64_t rest = file_.size() - place_;
      if (storage.bytes > rest || elements != storage.bytes / bytes_of(known->second.dtype)) {
        refuse("the data of a storage has another length than its tensors ask for",
               std::to_string(elements) + " elements, and " + std::to_string(rest) + " bytes in the file",
               std::to_string(storage.bytes) + " bytes");
      }
      storage.begin = place_;
      place_ += storage.bytes;
      storages_.erase(known);
    }
    if (!storages_.empty()) refuse("the file lacks the data of a storage", storages_.begin()->first);
    if (place_ != file_.size()) refuse("the file goes on after its last storage");
  }

  struct Known {
    std::size_t index;
    TorchType dtype;
  };

  std::span<const std::byte> file_;
  std::string_view file_name_;
  std::size_t place_ = 0;
  std::unordered_map<std::string, Known> storages_;
};

}  // namespace

const ZipEntry& torch_pickle_entry(const ZipIndex& archive, std::string_view file_name) {
  const std::string root(archive_root(archive));
  const ZipEntry* pickle =
      root.empty() ? nullptr : archive.find(root.substr(0, root.size() - 1) + std::string(pickle_suffix));
  if (pickle == nullptr) {
    throw Error(
        {.what = "the archive was not written by torch.save",
         .where = std::string(file_name),
         .got = archive.entries.empty() ? "no files" : "'" + shortened(archive.entries.front().name) + "' and others",
         .expected = "a file 'data.pkl' in the one folder of the archive"});
  }
  if (archive.find(root + "constants.pkl") != nullptr) {
    throw Error({.what = "the file is a TorchScript archive, as torch.jit.save and torch::save of LibTorch write them",
                 .where = std::string(file_name),
                 .expected = "a file of torch.save",
                 .todo = "in Python: torch.save(torch.jit.load(path).state_dict(), other_path)"});
  }
  require_stored(*pickle, file_name);
  return *pickle;
}

TorchIndex parse_torch_archive(std::span<const std::byte> file, const ZipIndex& archive, std::string_view file_name) {
  const ZipEntry& entry = torch_pickle_entry(archive, file_name);
  const std::string root(archive_root(archive));
  if (const ZipEntry* order = archive.find(root + "byteorder")) {
    if (const std::string text = text_of_bytes(entry_content(file, *order)); text != "little")
      refuse_byte_order(file_name, text);
  }
  const bool has_checksums = entry.crc32 != 0;
  std::unordered_map<std::string_view, const ZipEntry*> entries;
  for (const ZipEntry& each : archive.entries) entries.emplace(each.name, &each);

  const Pickle pickle = parse_pickle(entry_content(file, entry), std::string(file_name) + ", data.pkl");
  if (pickle.bytes_read() != entry.bytes) {
    throw Error({.what = "the pickle of a .pt file goes on after its end", .where = std::string(file_name)});
  }
  TorchIndex index;
  std::unordered_map<std::string, std::size_t> storages;
  const auto find = [&](const TorchStorageRequest& request, std::string& problem) -> std::optional<std::size_t> {
    const std::string name = root + "data/" + request.key;
    const auto found = entries.find(name);
    if (found == entries.end() || found->second->bytes < request.bytes) {
      problem = found == entries.end() ? "no file '" + shortened(name) + "' in the archive"
                                       : std::to_string(found->second->bytes) + " bytes in '" + shortened(name) + "'";
      return std::nullopt;
    }
    const auto [known, is_new] = storages.try_emplace(request.key, index.storages.size());
    if (is_new) {
      const ZipEntry& each = *found->second;
      require_stored(each, file_name);
      index.storages.push_back({.name = each.name,
                                .begin = each.begin,
                                .bytes = each.bytes,
                                .crc32 = has_checksums ? std::optional(each.crc32) : std::nullopt});
    }
    return known->second;
  };
  read_torch_values(pickle, entry.bytes, file_name, find, index);
  return index;
}

TorchIndex parse_torch_legacy(std::span<const std::byte> file, std::string_view file_name) {
  return LegacyReader(file, file_name).read();
}

}  // namespace athanor
