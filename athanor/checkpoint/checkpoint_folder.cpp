// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/checkpoint_folder.hpp"

#include <ATen/ops/empty_strided.h>

#include <charconv>
#include <map>
#include <optional>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/checkpoint/tree_json.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/folder.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr int64_t format_version = 1;

// ---- where each tensor goes

/// `NAME` in a file, and the strides when the tensor is not contiguous: `weights/conv.weight|288,1,96,32`.
struct TensorNames {
  std::map<std::string, NamedTensors> files;
  std::map<const at::TensorImpl*, std::string> places;
};

std::string strides_text(const at::Tensor& tensor) {
  if (tensor.is_contiguous() || !tensor.is_non_overlapping_and_dense()) return {};
  std::string text = "|";
  for (const int64_t stride : tensor.strides()) text += (text.size() > 1 ? "," : "") + std::to_string(stride);
  return text;
}

/// In the order of the walk, which is that of the writer too.
std::vector<std::string> name_tensors(const Tree& state, const std::vector<TensorFile>& rules,
                                      std::map<std::string, NamedTensors>& files) {
  std::vector<std::string> places;
  state.walk([&](const std::string& path, const Tree& leaf) {
    if (!leaf.is_tensor()) return;
    std::string file = "state", name = path;
    for (const TensorFile& rule : rules) {
      if (!path.starts_with(rule.prefix)) continue;
      file = rule.file;
      if (rule.strip) name = path.substr(rule.prefix.size());
      break;
    }
    if (!leaf.tensor().defined()) {
      places.emplace_back();
      return;
    }
    files[file].emplace_back(name, leaf.tensor());
    places.push_back(file + "/" + name + strides_text(leaf.tensor()));
  });
  return places;
}

/// Undoes `strides_text`: a copy with those strides.
at::Tensor with_strides(const at::Tensor& tensor, std::string_view text, const fs::path& where) {
  std::vector<int64_t> strides;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    int64_t stride = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + comma, stride);
    if (code != std::errc() || end != text.data() + comma || stride < 0) break;
    strides.push_back(stride);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  if (strides.size() != static_cast<size_t>(tensor.dim())) {
    refuse_damaged_checkpoint(where, std::to_string(strides.size()) + " strides", std::to_string(tensor.dim()));
  }
  at::Tensor copy = at::empty_strided(tensor.sizes(), strides, tensor.options());
  if (!copy.is_non_overlapping_and_dense())
    refuse_damaged_checkpoint(where, "strides that overlap", "those of a dense tensor");
  return copy.copy_(tensor);
}

// ---- manifest

void write_manifest(const fs::path& folder, const Tree& facts, const std::vector<std::string>& files) {
  Tree list = Tree::Dictionary{};
  for (const std::string& file : files) {
    const MappedFile written(folder / file);
    list.at_or_insert(file) =
        Tree{{"bytes", static_cast<int64_t>(written.bytes().size())}, {"crc32", crc32_text(written.bytes())}};
  }
  const Tree manifest = {{"format", format_version}, {"facts", facts}, {"files", list}};
  write_file_atomically(folder / manifest_name, manifest_with_checksum(tree_to_json(manifest)));
}

Tree read_manifest(const fs::path& folder) {
  const fs::path path = folder / manifest_name;
  Tree manifest = tree_from_json(read_checked_manifest(folder), path.string());
  if (manifest["format"].integer() != format_version) {
    throw Error({.what = "a checkpoint has a format that is not known",
                 .where = path.string(),
                 .got = std::to_string(manifest["format"].integer()),
                 .expected = std::to_string(format_version),
                 .todo = "use the version of Athanor that wrote it"});
  }
  return manifest;
}

void verify_file(const fs::path& folder, const std::string& name, const Tree& expected) {
  verify_manifest_file(
      folder,
      {.name = name, .bytes = static_cast<uint64_t>(expected["bytes"].integer()), .crc32 = expected["crc32"].text()});
}

Tree verified_manifest(const fs::path& folder) {
  Tree manifest = read_manifest(folder);
  for (const auto& [name, expected] : manifest["files"].entries()) verify_file(folder, name, expected);
  return manifest;
}

}  // namespace

void write_checkpoint(const fs::path& path, const Tree& state, const Tree& facts,
                      const std::vector<TensorFile>& rules) {
  std::map<std::string, NamedTensors> tensors;
  const std::vector<std::string> places = name_tensors(state, rules, tensors);
  size_t next = 0;
  const std::string json = tree_to_json(state, [&](const at::Tensor&) -> std::string { return places.at(next++); });
  write_folder_atomically(path, [&](const fs::path& folder) {
    std::vector<std::string> files;
    for (const auto& [file, named] : tensors) {
      files.push_back(file + ".safetensors");
      write_safetensors(folder / files.back(), named, {{"format", "pt"}});
    }
    files.emplace_back("state.json");
    write_file_atomically(folder / files.back(), json);
    write_manifest(folder, facts, files);
  });
}

void write_weights_checkpoint(const fs::path& path, const Tree& weights, const Tree& facts) {
  NamedTensors tensors;
  weights.walk([&](const std::string& name, const Tree& leaf) {
    if (leaf.is_tensor()) tensors.emplace_back(name, leaf.tensor());
  });
  write_folder_atomically(path, [&](const fs::path& folder) {
    write_safetensors(folder / "weights.safetensors", tensors, {{"format", "pt"}});
    write_manifest(folder, facts, {"weights.safetensors"});
  });
}

SavedCheckpoint read_checkpoint(const fs::path& path) {
  const Tree manifest = verified_manifest(path);
  SavedCheckpoint saved{.facts = manifest["facts"], .state = {}};
  if (manifest["files"].find("state.json") == nullptr) return saved;
  std::map<std::string, SafetensorsFile> opened;
  const auto find_tensor = [&](const std::string& place) -> at::Tensor {
    if (place.empty()) return {};
    const size_t slash = place.find('/');
    const size_t bar = place.rfind('|');
    const std::string file = place.substr(0, slash) + ".safetensors";
    if (slash == std::string::npos || manifest["files"].find(file) == nullptr) {
      refuse_damaged_checkpoint(path / "state.json", "a tensor at " + place, "a tensor in a file of the checkpoint");
    }
    auto found = opened.find(file);
    if (found == opened.end()) found = opened.emplace(file, SafetensorsFile(path / file)).first;
    const bool plain = bar == std::string::npos || bar < slash || found->second.contains(place.substr(slash + 1));
    const at::Tensor tensor =
        found->second.tensor(place.substr(slash + 1, plain ? std::string::npos : bar - slash - 1));
    return plain ? tensor : with_strides(tensor, std::string_view(place).substr(bar + 1), path / file);
  };
  const MappedFile json(path / "state.json");
  saved.state = tree_from_json({reinterpret_cast<const char*>(json.bytes().data()), json.bytes().size()},
                               (path / "state.json").string(), find_tensor);
  return saved;
}

Tree read_checkpoint_facts(const fs::path& path) { return read_manifest(path)["facts"]; }

fs::path verified_weights(const fs::path& path) {
  const Tree manifest = read_manifest(path);
  const Tree* weights = manifest["files"].find("weights.safetensors");
  if (weights == nullptr) {
    throw Error({.what = "a checkpoint has no weights", .where = path.string(), .expected = "weights.safetensors"});
  }
  verify_file(path, "weights.safetensors", *weights);
  return path / "weights.safetensors";
}

}  // namespace athanor
