// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/checkpoint_folder.hpp"

#include <ATen/ops/empty_strided.h>
#include <zlib.h>

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
constexpr const char* manifest_name = "manifest.json";
constexpr std::string_view checksum_key = ",\n  \"manifest_crc32\": \"";

std::string manifest_checksum(std::string_view text) { return crc32_text(std::as_bytes(std::span(text))); }

[[noreturn]] void damaged(const fs::path& path, const std::string& got, const std::string& expected) {
  throw Error({.what = "a checkpoint is damaged; nothing was loaded",
               .where = path.string(),
               .got = got,
               .expected = expected,
               .todo = "go on from the checkpoint before it, or copy this one again from where it came"});
}
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
    damaged(where, std::to_string(strides.size()) + " strides", std::to_string(tensor.dim()));
  }
  at::Tensor copy = at::empty_strided(tensor.sizes(), strides, tensor.options());
  if (!copy.is_non_overlapping_and_dense()) damaged(where, "strides that overlap", "those of a dense tensor");
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
  std::string text = tree_to_json(Tree{{"format", format_version}, {"facts", facts}, {"files", list}});
  text.erase(text.rfind("\n}"));
  text += std::string(checksum_key) + manifest_checksum(text) + "\"\n}\n";
  write_file_atomically(folder / manifest_name, text);
}

Tree read_manifest(const fs::path& folder) {
  const fs::path path = folder / manifest_name;
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const size_t end = text.rfind(checksum_key);
  if (end == std::string_view::npos) {
    damaged(path, std::to_string(text.size()) + " bytes without a checksum", "a manifest that ends in its checksum");
  }
  const std::string whole = std::string(checksum_key) + manifest_checksum(text.substr(0, end)) + "\"\n}\n";
  if (text.substr(end) != whole) {
    damaged(path, "content that does not fit its checksum", "the checksum that was written with it");
  }
  Tree manifest = tree_from_json(text, path.string());
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
  if (name.find('/') != std::string::npos) damaged(folder / manifest_name, name, "names of files in this folder");
  const fs::path path = folder / name;
  if (!fs::is_regular_file(path)) damaged(path, "no such file", "a file of the checkpoint");
  const MappedFile file(path);
  file.advise_sequential();
  const auto bytes = static_cast<int64_t>(file.bytes().size());
  if (bytes != expected["bytes"].integer()) {
    damaged(path, std::to_string(bytes) + " bytes", std::to_string(expected["bytes"].integer()) + " bytes");
  }
  const std::string sum = crc32_text(file.bytes());
  if (sum != expected["crc32"].text()) damaged(path, "CRC-32 " + sum, expected["crc32"].text());
}

Tree verified_manifest(const fs::path& folder) {
  Tree manifest = read_manifest(folder);
  for (const auto& [name, expected] : manifest["files"].entries()) verify_file(folder, name, expected);
  return manifest;
}

}  // namespace

std::string crc32_text(std::span<const std::byte> bytes) {
  const auto* begin = reinterpret_cast<const Bytef*>(bytes.data());
  const auto sum = static_cast<uint32_t>(::crc32_z(::crc32_z(0, nullptr, 0), begin, bytes.size()));
  char digits[8];
  const auto end = std::to_chars(digits, digits + sizeof digits, sum, 16).ptr;
  return std::string(static_cast<size_t>(digits + 8 - end), '0') + std::string(digits, end);
}

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
      damaged(path / "state.json", "a tensor at " + place, "a tensor in a file of the checkpoint");
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

bool is_checkpoint(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path / manifest_name, ignored);
}

}  // namespace athanor
