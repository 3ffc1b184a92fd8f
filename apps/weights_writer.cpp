// SPDX-License-Identifier: Apache-2.0
#include "apps/weights_writer.hpp"

#include <algorithm>
#include <cstdio>
#include <set>
#include <unordered_map>

#include "apps/elements.hpp"
#include "athanor/checkpoint/pickle_writer.hpp"
#include "athanor/checkpoint/safetensors_index.hpp"
#include "athanor/checkpoint/sharded_index.hpp"
#include "athanor/checkpoint/zip_writer.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/utf8.hpp"

namespace athanor::command {
namespace {

namespace fs = std::filesystem;

using Tensors = std::span<const MadeTensor>;
constexpr const char* shard_index_name = "model.safetensors.index.json";

bool is_torch_name(const fs::path& path) {
  const std::string suffix = path.extension().string();
  return suffix == ".pt" || suffix == ".pth" || suffix == ".bin";
}

void write_safetensors_file(const fs::path& path, Tensors tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<TensorEntry> entries;
  std::unordered_map<std::string_view, const MadeTensor*> by_name;
  for (const MadeTensor& tensor : tensors) {
    const auto type = safetensors_type_of(tensor.dtype);
    if (!type) {
      throw Error({.what = "a safetensors file can't hold this type",
                   .where = path.string() + ", tensor '" + tensor.name + "'",
                   .got = std::string(name_of(tensor.dtype)),
                   .todo = "write a .pt file"});
    }
    entries.push_back({.name = tensor.name, .dtype = *type, .shape = tensor.sizes});
    by_name.emplace(tensor.name, &tensor);
  }
  const SafetensorsIndex index = arrange_safetensors(std::move(entries), metadata);
  write_file_atomically(path, [&](FileWriter& file) {
    file.write(safetensors_header(index));
    for (const TensorEntry& entry : index.entries) {
      by_name.at(entry.name)->make([&](std::span<const std::byte> bytes) { file.write(bytes); });
    }
  });
}

void put_tensor(PickleWriter& pickle, const MadeTensor& tensor, std::size_t number) {
  const std::string_view typed = storage_name_of(tensor.dtype);
  pickle.global("torch._utils", typed.empty() ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
  pickle.begin_tuple();
  pickle.begin_tuple();
  pickle.text("storage");
  pickle.global(typed.empty() ? "torch.storage" : "torch", typed.empty() ? "UntypedStorage" : typed);
  pickle.text(std::to_string(number));
  pickle.text("cpu");
  pickle.integer(static_cast<std::int64_t>(tensor.bytes / (typed.empty() ? 1 : bytes_of(tensor.dtype))));
  pickle.end_tuple();
  pickle.persistent();
  pickle.integer(0);
  pickle.integers(tensor.sizes);
  std::vector<std::int64_t> strides(tensor.sizes.size());
  std::int64_t stride = 1;
  for (std::size_t i = strides.size(); i-- > 0;) {
    strides[i] = stride;
    if (tensor.bytes > 0) stride *= tensor.sizes[i];
  }
  pickle.integers(strides);
  pickle.boolean(false);
  pickle.global("collections", "OrderedDict");
  pickle.integers({});
  pickle.call();
  if (typed.empty()) pickle.global("torch", name_of(tensor.dtype));
  pickle.end_tuple();
  pickle.call();
}

void write_torch_file(const fs::path& path, Tensors tensors) {
  PickleWriter pickle;
  pickle.begin_dictionary();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!is_utf8(tensors[i].name)) {
      throw Error({.what = "the name of a tensor is not UTF-8", .where = path.string(), .got = tensors[i].name});
    }
    pickle.text(tensors[i].name);
    put_tensor(pickle, tensors[i], i);
  }
  pickle.end_dictionary();
  const std::string values = pickle.finish();
  write_file_atomically(path, [&](FileWriter& file) {
    ZipWriter archive([&](std::span<const std::byte> bytes) { file.write(bytes); });
    archive.add("archive/data.pkl", values);
    archive.add("archive/.format_version", "1");
    archive.add("archive/.storage_alignment", std::to_string(zip_alignment));
    archive.add("archive/byteorder", "little");
    std::vector<std::byte> content;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      content.clear();
      content.reserve(tensors[i].bytes);
      tensors[i].make(
          [&](std::span<const std::byte> bytes) { content.insert(content.end(), bytes.begin(), bytes.end()); });
      archive.add("archive/data/" + std::to_string(i), content);
    }
    archive.add("archive/version", "3\n");
    archive.finish();
  });
}

std::vector<Tensors> split(Tensors tensors, std::uint64_t limit) {
  std::vector<Tensors> shards;
  std::size_t begin = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (i > begin && bytes + tensors[i].bytes > limit) {
      shards.push_back(tensors.subspan(begin, i - begin));
      begin = i;
      bytes = 0;
    }
    bytes += tensors[i].bytes;
  }
  shards.push_back(tensors.subspan(begin));
  return shards;
}

/// An older index goes first and the new one comes last, so that an interrupted folder is refused, never a mixture.
void write_shards(const fs::path& folder, Tensors tensors, const WriteWeights& options) {
  fs::create_directories(folder);
  const std::vector<Tensors> shards = split(tensors, *options.max_shard_bytes);
  fs::remove(folder / shard_index_name);
  if (shards.size() == 1) return write_safetensors_file(folder / "model.safetensors", tensors, options.metadata);
  ShardedIndex index;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    char file[64];
    std::snprintf(file, sizeof file, "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    write_safetensors_file(folder / file, shards[i], options.metadata);
    for (const MadeTensor& tensor : shards[i]) {
      index.files.emplace_back(tensor.name, file);
      index.total_bytes += tensor.bytes;
    }
  }
  write_file_atomically(folder / shard_index_name, sharded_index_json(index));
}

}  // namespace

void require_output(const fs::path& path, const WriteWeights& options) {
  std::error_code ignored;
  if (options.max_shard_bytes) {
    if (*options.max_shard_bytes == 0) {
      throw Error({.what = "a file of weights has at least one byte", .got = "0 bytes a shard"});
    }
    const bool is_folder = fs::is_directory(path, ignored);
    if (fs::exists(path, ignored) && (!is_folder || (!fs::is_empty(path, ignored) && !options.overwrite))) {
      throw Error({.what = is_folder ? "this folder holds something already" : "this is a file and not a folder",
                   .where = path.string(),
                   .todo = is_folder ? "give --force to write into it, or another folder" : "name a folder"});
    }
    return;
  }
  if (path.extension() != ".safetensors" && !is_torch_name(path)) {
    throw Error({.what = "the name does not say in which format to write",
                 .where = path.string(),
                 .expected = "one that ends in .safetensors, .pt, .pth or .bin; a folder with --max-shard"});
  }
  if (fs::exists(path, ignored) && !options.overwrite) {
    throw Error({.what = "this file is there already",
                 .where = path.string(),
                 .todo = "give --force to replace it, or another name"});
  }
}

void write_weights(const fs::path& path, const std::vector<MadeTensor>& tensors, const WriteWeights& options) {
  require_output(path, options);
  std::set<std::string_view> names;
  for (const MadeTensor& tensor : tensors) {
    if (names.insert(tensor.name).second) continue;
    throw Error({.what = "two tensors have one name", .where = path.string(), .got = tensor.name});
  }
  if (options.max_shard_bytes) return write_shards(path, tensors, options);
  if (is_torch_name(path)) return write_torch_file(path, tensors);
  write_safetensors_file(path, tensors, options.metadata);
}

}  // namespace athanor::command
