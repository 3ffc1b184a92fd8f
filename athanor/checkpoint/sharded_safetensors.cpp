// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/sharded_safetensors.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "athanor/checkpoint/name_places.hpp"
#include "athanor/checkpoint/sharded_index.hpp"
#include "athanor/checkpoint/weights_source.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view safetensors_suffix = ".safetensors";
constexpr std::string_view shard_index_suffix = ".safetensors.index.json";

using NamedTensor = std::pair<std::string, at::Tensor>;

std::string shard_name(const std::string& name, std::size_t number, std::size_t count) {
  char numbers[48];
  std::snprintf(numbers, sizeof numbers, "-%05zu-of-%05zu", number, count);
  return name + numbers + std::string(safetensors_suffix);
}

/// Whether this is NAME-00001-of-00002.safetensors with any numbers.
bool is_shard_of(const std::string& file, const std::string& name) {
  constexpr std::string_view pattern = "-00000-of-00000";
  if (!file.starts_with(name) || !file.ends_with(safetensors_suffix)) return false;
  const std::string_view middle =
      std::string_view(file).substr(name.size(), file.size() - name.size() - safetensors_suffix.size());
  return middle.size() == pattern.size() &&
         std::equal(middle.begin(), middle.end(), pattern.begin(),
                    [](char got, char wanted) { return wanted == '0' ? got >= '0' && got <= '9' : got == wanted; });
}

/// Consecutive tensors that fit together into the limit.
std::vector<std::span<const NamedTensor>> split_into_shards(std::span<const NamedTensor> tensors, std::uint64_t limit) {
  std::vector<std::span<const NamedTensor>> shards;
  std::size_t begin = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t next = tensors[i].second.defined() ? tensors[i].second.nbytes() : 0;
    if (i > begin && bytes + next > limit) {
      shards.push_back(tensors.subspan(begin, i - begin));
      begin = i;
      bytes = 0;
    }
    bytes += next;
  }
  shards.push_back(tensors.subspan(begin));
  return shards;
}

void remove_shards(const fs::path& folder, const std::string& name, const std::set<std::string>& kept) {
  for (const auto& each : fs::directory_iterator(folder)) {
    const std::string file = each.path().filename().string();
    if (!kept.contains(file) && (is_shard_of(file, name) || file == name + std::string(safetensors_suffix)))
      fs::remove(each.path());
  }
}

void check_names_are_unique(std::span<const NamedTensor> tensors, const fs::path& folder) {
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (names.insert(name).second) continue;
    throw Error({.what = "two tensors have the same name",
                 .where = folder.string() + ", tensor '" + name + "'",
                 .todo = "give each its own name"});
  }
}

}  // namespace

void write_sharded_safetensors(const fs::path& folder, std::span<const NamedTensor> tensors,
                               const ShardOptions& options) {
  if (options.max_shard_bytes == 0 || options.name.empty() || options.name.find('/') != std::string::npos) {
    throw Error({.what = "weights can't be written into files of this size or name",
                 .where = folder.string(),
                 .got = std::to_string(options.max_shard_bytes) + " bytes, '" + options.name + "'",
                 .expected = "at least 1 byte, and a name without folders"});
  }
  check_names_are_unique(tensors, folder);
  const fs::path index_path = folder / (options.name + std::string(shard_index_suffix));
  const auto shards = split_into_shards(tensors, options.max_shard_bytes);
  std::set<std::string> written;
  ShardedIndex index;
  fs::remove(index_path);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string file = shards.size() == 1 ? options.name + std::string(safetensors_suffix)
                                                : shard_name(options.name, i + 1, shards.size());
    write_safetensors(folder / file, shards[i], options.metadata);
    written.insert(file);
    for (const auto& [name, tensor] : shards[i]) {
      index.files.emplace_back(name, file);
      index.total_bytes += tensor.nbytes();
    }
  }
  if (shards.size() > 1) write_file_atomically(index_path, sharded_index_json(index));
  remove_shards(folder, options.name, written);
}

ShardedSafetensors::ShardedSafetensors(const fs::path& path, std::string_view name) : path_(path) {
  if (fs::is_directory(path)) {
    const fs::path index = path / (std::string(name).append(shard_index_suffix));
    const fs::path only = path / (std::string(name).append(safetensors_suffix));
    path_ = fs::exists(index) ? index : only;
    if (!fs::exists(path_)) {
      throw Error({.what = "there are no weights in this folder",
                   .where = path.string(),
                   .expected = index.filename().string() + " or " + only.filename().string()});
    }
  }
  auto places = std::make_shared<detail::NamePlaces>();
  file_of_name_ = places;
  if (!path_.string().ends_with(".json")) {
    files_.emplace_back(path_);
    for (const TensorEntry& entry : files_[0].entries()) places->emplace(entry.name, 0);
    return;
  }
  const MappedFile text(path_);
  const ShardedIndex index =
      parse_sharded_index({reinterpret_cast<const char*>(text.bytes().data()), text.bytes().size()}, path_.string());
  std::map<std::string, std::size_t> numbers;
  for (const auto& [tensor, file] : index.files) {
    const auto [place, is_new] = numbers.try_emplace(file, files_.size());
    if (is_new) files_.emplace_back(path_.parent_path() / file);
    places->emplace(tensor, place->second);
    if (files_[place->second].contains(tensor)) continue;
    throw Error({.what = "a file lacks a tensor that the index says is in it",
                 .where = path_.string() + ", tensor '" + tensor + "'",
                 .got = files_[place->second].path().string(),
                 .todo = "write or download all files again"});
  }
  for (std::size_t i = 0; i < files_.size(); ++i) {
    for (const TensorEntry& entry : files_[i].entries()) {
      const auto place = file_of_name_->find(entry.name);
      if (place != file_of_name_->end() && place->second == i) continue;
      throw Error({.what = "a file has a tensor that the index does not place in it",
                   .where = files_[i].path().string() + ", tensor '" + entry.name + "'",
                   .todo = "write or download all files again"});
    }
  }
}

std::vector<std::string> ShardedSafetensors::names() const {
  std::vector<std::string> all;
  for (const SafetensorsFile& file : files_) {
    for (const TensorEntry& entry : file.entries()) all.push_back(entry.name);
  }
  return all;
}

bool ShardedSafetensors::contains(std::string_view name) const { return file_of_name_->contains(std::string(name)); }

const SafetensorsFile& ShardedSafetensors::file_of(std::string_view name) const {
  const auto place = file_of_name_->find(std::string(name));
  if (place != file_of_name_->end()) return files_[place->second];
  throw Error({.what = "there is no tensor of this name in the files",
               .where = path_.string(),
               .got = std::string(name),
               .expected = "one of " + std::to_string(file_of_name_->size()) + " names"});
}

WeightsReport compare_weights(const ShardedSafetensors& files, std::span<const NamedTensor> destination) {
  const detail::WeightsSource source{.where = files.path().string(),
                                     .names = files.names(),
                                     .layout = [&](const std::string& name) -> std::optional<detail::TensorLayout> {
                                       if (!files.contains(name)) return std::nullopt;
                                       return detail::layout_in(files.file_of(name), name);
                                     },
                                     .tensor = {}};
  return detail::compare_weights(source, destination);
}

WeightsReport copy_into(const ShardedSafetensors& files, std::span<const NamedTensor> destination,
                        const LoadOptions& options) {
  WeightsReport report = compare_weights(files, destination);
  detail::refuse_weights(report, files.path().string(), options);
  for (const SafetensorsFile& file : files.files()) {
    NamedTensors part;
    for (const auto& each : destination) {
      if (file.contains(each.first)) part.push_back(each);
    }
    // A mapping of its own, whose pages go when it does.
    if (!part.empty()) copy_into(SafetensorsFile(file.path()), part, {.allow_missing = true, .allow_unexpected = true});
  }
  return report;
}

}  // namespace athanor
