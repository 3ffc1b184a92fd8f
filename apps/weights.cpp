// SPDX-License-Identifier: Apache-2.0
#include "apps/weights.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "apps/elements.hpp"
#include "apps/json_file.hpp"
#include "apps/output.hpp"
#include "athanor/checkpoint/manifest.hpp"
#include "athanor/checkpoint/safetensors_index.hpp"
#include "athanor/checkpoint/sharded_index.hpp"
#include "athanor/checkpoint/zip_index.hpp"
#include "athanor/core/error.hpp"

namespace athanor::command {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> map_file(Weights& weights, const fs::path& path) {
  weights.mappings.push_back(std::make_shared<MappedFile>(path));
  const auto bytes = std::as_const(*weights.mappings.back()).bytes();
  weights.files.push_back(path);
  weights.file_bytes += bytes.size();
  return bytes;
}

std::vector<std::int64_t> row_major(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> strides(sizes.size());
  std::uint64_t stride = 1;  // may overflow where another size is 0
  for (std::size_t i = sizes.size(); i-- > 0;) {
    strides[i] = static_cast<std::int64_t>(stride);
    stride *= static_cast<std::uint64_t>(std::max<std::int64_t>(sizes[i], 1));
  }
  return strides;
}

void add_safetensors(Weights& weights, const fs::path& path) {
  const auto bytes = map_file(weights, path);
  SafetensorsIndex index = parse_safetensors(bytes, path.string());
  for (TensorEntry& entry : index.entries) {
    std::vector<std::int64_t> strides = row_major(entry.shape);
    weights.tensors.push_back({.name = std::move(entry.name),
                               .dtype = torch_type_of(entry.dtype),
                               .sizes = std::move(entry.shape),
                               .strides = std::move(strides),
                               .data = bytes.data() + index.data_begin + entry.begin});
  }
  for (auto& [name, text] : index.metadata) weights.metadata.emplace(name, std::move(text));
}

void add_shards(Weights& weights, const fs::path& path) {
  const MappedFile text(path);
  const ShardedIndex index =
      parse_sharded_index({reinterpret_cast<const char*>(text.bytes().data()), text.bytes().size()}, path.string());
  std::map<std::string, std::set<std::string>> expected;
  for (const auto& [tensor, file] : index.files) expected[file].insert(tensor);
  for (auto& [file, names] : expected) {
    const std::size_t before = weights.tensors.size();
    add_safetensors(weights, path.parent_path() / file);
    for (std::size_t i = before; i < weights.tensors.size(); ++i) {
      if (names.erase(weights.tensors[i].name) == 1) continue;
      throw Error({.what = "a file has a tensor that the index does not place in it",
                   .where = (path.parent_path() / file).string() + ", tensor '" + weights.tensors[i].name + "'",
                   .todo = "write or download all files again"});
    }
    if (names.empty()) continue;
    throw Error({.what = "a file lacks a tensor that the index says is in it",
                 .where = (path.parent_path() / file).string() + ", tensor '" + *names.begin() + "'",
                 .todo = "write or download all files again"});
  }
}

// ---- .pt

std::string text_of(const TorchValue& value) {
  struct Text {
    std::string operator()(std::monostate) const { return "None"; }
    std::string operator()(TorchValue::Tensor) const { return {}; }
    std::string operator()(bool each) const { return each ? "True" : "False"; }
    std::string operator()(std::int64_t each) const { return std::to_string(each); }
    std::string operator()(double each) const {
      char text[32];
      return {text, std::to_chars(text, text + sizeof text, each).ptr};
    }
    std::string operator()(const std::string& each) const { return "'" + printable(each, 60) + "'"; }
    std::string operator()(const TorchValue::List&) const { return "[]"; }
    std::string operator()(const TorchValue::Dictionary&) const { return "{}"; }
  };
  return std::visit(Text{}, value.value);
}

class TorchWalk {
 public:
  TorchWalk(Weights& weights, const TorchIndex& index, std::span<const std::byte> file)
      : weights_(weights), index_(index), file_(file) {}

  void visit(const TorchValue& value, const std::string& path) {
    const auto below = [&](const std::string& name) { return path.empty() ? name : path + "." + name; };
    if (const auto* tensor = std::get_if<TorchValue::Tensor>(&value.value)) {
      add(index_.tensors[tensor->index], path.empty() ? "tensor" : path);
    } else if (const auto* list = std::get_if<TorchValue::List>(&value.value); list != nullptr && !list->empty()) {
      for (std::size_t i = 0; i < list->size(); ++i) visit((*list)[i], below(std::to_string(i)));
    } else if (const auto* entries = std::get_if<TorchValue::Dictionary>(&value.value);
               entries != nullptr && !entries->empty()) {
      for (const auto& [name, each] : *entries) visit(each, below(name));
    } else {
      weights_.others.emplace_back(path, text_of(value));
    }
  }

 private:
  void add(const TorchTensor& tensor, const std::string& name) {
    const TorchStorage& storage = index_.storages[tensor.storage];
    const std::byte* base = storage.own ? reinterpret_cast<const std::byte*>(storage.own->data())
                                        : file_.data() + static_cast<std::ptrdiff_t>(storage.begin);
    StoredTensor stored{.name = name,
                        .dtype = tensor.dtype,
                        .sizes = tensor.sizes,
                        .strides = tensor.strides,
                        .data = nullptr,
                        .unusual = tensor.conjugate  ? "a lazy conjugation"
                                   : tensor.negative ? "a lazy negation"
                                                     : ""};
    if (stored.elements() > 0) {
      stored.data = base + tensor.offset * static_cast<std::int64_t>(bytes_of(tensor.dtype));
    }
    weights_.tensors.push_back(std::move(stored));
  }

  Weights& weights_;
  const TorchIndex& index_;
  std::span<const std::byte> file_;
};

void require_checksum(std::span<const std::byte> file, std::uint64_t begin, std::uint64_t bytes, std::uint32_t expected,
                      const std::string& what, const fs::path& path) {
  if (crc32_of(file.subspan(begin, bytes)) == expected) return;
  throw Error({.what = "a .pt file is damaged: a checksum does not fit",
               .where = path.string() + ", file '" + what + "' in it",
               .todo = "copy or download the file again, or take an older one"});
}

const TorchValue& part_of(const TorchValue& root, const std::string& part, const fs::path& path) {
  const TorchValue* value = &root;
  std::string_view rest = part;
  while (!rest.empty()) {
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view name = rest.substr(0, dot);
    const auto* entries = std::get_if<TorchValue::Dictionary>(&value->value);
    const TorchValue* found = nullptr;
    std::string names;
    if (entries != nullptr) {
      for (const auto& [each, inner] : *entries) {
        if (each == name) found = &inner;
        if (names.size() < 200) names += (names.empty() ? "" : ", ") + each;
      }
    }
    if (found == nullptr) {
      throw Error({.what = "a .pt file has no such part",
                   .where = path.string(),
                   .got = part,
                   .expected = entries == nullptr ? "the path of a dictionary" : "one of " + names});
    }
    value = found;
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  return *value;
}

void add_torch(Weights& weights, std::span<const std::byte> file, const OpenWeights& options) {
  const std::string name = weights.path.string();
  auto index = std::make_shared<TorchIndex>();
  if (looks_like_zip(file)) {
    const ZipIndex archive = parse_zip(file, name);
    const ZipEntry& pickle = torch_pickle_entry(archive, name);
    // Zero is what torch.save leaves where it was told to compute none.
    if (pickle.crc32 != 0) require_checksum(file, pickle.begin, pickle.bytes, pickle.crc32, pickle.name, weights.path);
    *index = parse_torch_archive(file, archive, name);
  } else {
    *index = parse_torch_legacy(file, name);
  }
  if (options.verify) {
    weights.mappings.back()->advise_sequential();
    for (const TorchStorage& storage : index->storages) {
      if (storage.crc32) {
        require_checksum(file, storage.begin, storage.bytes, *storage.crc32, storage.name, weights.path);
      }
    }
  }
  weights.own_bytes.push_back(index);
  TorchWalk(weights, *index, file).visit(part_of(index->root, options.part, weights.path), {});
}

bool looks_like_pickle(std::span<const std::byte> file) {
  return file.size() > 1 && file[0] == std::byte{0x80} && file[1] == std::byte{2};
}

void open_folder(Weights& weights, const OpenWeights& options) {
  const fs::path& path = weights.path;
  if (is_checkpoint(path)) {
    const std::vector<ManifestFile> files = files_of_manifest(path);
    const auto found = std::find_if(files.begin(), files.end(),
                                    [](const ManifestFile& file) { return file.name == "weights.safetensors"; });
    if (found == files.end()) {
      throw Error({.what = "a checkpoint has no weights", .where = path.string(), .expected = "weights.safetensors"});
    }
    if (options.verify) verify_manifest_file(path, *found);
    weights.format = "checkpoint folder";
    return add_safetensors(weights, path / found->name);
  }
  if (fs::exists(path / "model.safetensors.index.json")) {
    weights.format = "safetensors in several files";
    return add_shards(weights, path / "model.safetensors.index.json");
  }
  if (fs::exists(path / "model.safetensors")) {
    weights.format = "safetensors";
    return add_safetensors(weights, path / "model.safetensors");
  }
  throw Error({.what = "there are no weights in this folder",
               .where = path.string(),
               .expected = "a checkpoint (manifest.json), model.safetensors.index.json or model.safetensors"});
}

}  // namespace

std::uint64_t StoredTensor::elements() const noexcept {
  std::uint64_t product = 1;
  for (const std::int64_t size : sizes) product *= static_cast<std::uint64_t>(size);
  return product;
}

void for_each_piece(const StoredTensor& tensor, const std::function<void(std::span<const std::byte>)>& take) {
  constexpr std::size_t piece_bytes = std::size_t{1} << 20;
  if (!tensor.unusual.empty()) {
    throw Error({.what = "the values of a tensor are not what is stored",
                 .where = "tensor '" + tensor.name + "'",
                 .got = tensor.unusual,
                 .todo = "save it again after tensor.resolve_conj().resolve_neg()"});
  }
  const std::uint64_t count = tensor.elements();
  if (count == 0) return;
  const std::size_t element = bytes_of(tensor.dtype);
  if (tensor.strides == row_major(tensor.sizes)) {
    for (std::uint64_t begin = 0; begin < count * element; begin += piece_bytes) {
      take({tensor.data + begin,
            static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, count * element - begin))});
    }
    return;
  }
  std::vector<std::byte> piece;
  piece.reserve(piece_bytes);
  std::vector<std::int64_t> place(tensor.sizes.size(), 0);
  const std::byte* at = tensor.data;
  for (std::uint64_t i = 0; i < count; ++i) {
    piece.insert(piece.end(), at, at + element);
    if (piece.size() + element > piece_bytes) {
      take(piece);
      piece.clear();
    }
    for (std::size_t d = place.size(); d-- > 0;) {
      const std::int64_t step = tensor.strides[d] * static_cast<std::int64_t>(element);
      at += step;
      if (++place[d] < tensor.sizes[d]) break;
      at -= step * place[d];
      place[d] = 0;
    }
  }
  if (!piece.empty()) take(piece);
}

Weights open_weights(const fs::path& path, const OpenWeights& options) {
  Weights weights{.path = path};
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    open_folder(weights, options);
  } else if (path.extension() == ".json") {
    weights.format = "safetensors in several files";
    add_shards(weights, path);
  } else {
    const auto file = map_file(weights, path);
    if (looks_like_zip(file) || looks_like_pickle(file)) {
      weights.format = looks_like_zip(file) ? "torch.save" : "torch.save before 1.6";
      add_torch(weights, file, options);
      return weights;
    }
    weights.format = "safetensors";
    weights.mappings.clear();
    weights.files.clear();
    weights.file_bytes = 0;
    add_safetensors(weights, path);
  }
  if (!options.part.empty()) {
    throw Error({.what = "only a file of torch.save has parts", .where = path.string(), .got = options.part});
  }
  return weights;
}

}  // namespace athanor::command
