// SPDX-License-Identifier: Apache-2.0
// Between safetensors files and tensors: types, zero-copy views, streaming out, and filling existing tensors.
#include "athanor/checkpoint/safetensors.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "athanor/checkpoint/name_places.hpp"
#include "athanor/checkpoint/weights_source.hpp"
#include "athanor/checkpoint/zip_index.hpp"
#include "athanor/core/error.hpp"

namespace athanor {
namespace {

constexpr std::array<std::pair<SafetensorsType, at::ScalarType>, 16> type_pairs{{
    {SafetensorsType::boolean, at::kBool},
    {SafetensorsType::uint8, at::kByte},
    {SafetensorsType::int8, at::kChar},
    {SafetensorsType::float8_e5m2, at::kFloat8_e5m2},
    {SafetensorsType::float8_e4m3, at::kFloat8_e4m3fn},
    {SafetensorsType::int16, at::kShort},
    {SafetensorsType::uint16, at::kUInt16},
    {SafetensorsType::float16, at::kHalf},
    {SafetensorsType::bfloat16, at::kBFloat16},
    {SafetensorsType::int32, at::kInt},
    {SafetensorsType::uint32, at::kUInt32},
    {SafetensorsType::float32, at::kFloat},
    {SafetensorsType::complex64, at::kComplexFloat},
    {SafetensorsType::float64, at::kDouble},
    {SafetensorsType::int64, at::kLong},
    {SafetensorsType::uint64, at::kUInt64},
}};

at::ScalarType to_aten(SafetensorsType type) { return type_pairs[static_cast<std::size_t>(type)].second; }

TensorEntry entry_for(const std::string& name, const at::Tensor& tensor, const std::filesystem::path& path) {
  const std::string where = path.string() + ", tensor '" + name + "'";
  if (!tensor.defined()) {
    throw Error(
        {.what = "an undefined tensor can't be written", .where = where, .todo = "give it a value or leave it out"});
  }
  if (tensor.layout() != at::kStrided || tensor.is_quantized() || tensor.is_meta()) {
    throw Error({.what = "a tensor of this kind can't be written to a safetensors file",
                 .where = where,
                 .got = tensor.is_meta() ? "a tensor without data (meta)" : tensor.toString(),
                 .expected = "a dense tensor",
                 .todo = "convert it first, for example by to_dense() or dequantize()"});
  }
  const auto type = safetensors_type_of(tensor.scalar_type());
  if (!type) {
    std::string known;
    for (const auto& pair : type_pairs) known.append(known.empty() ? "" : ", ").append(c10::toString(pair.second));
    throw Error({.what = "a tensor has a type that safetensors files can't hold",
                 .where = where,
                 .got = c10::toString(tensor.scalar_type()),
                 .expected = "one of " + known,
                 .todo = "convert it first by to(...)"});
  }
  return {.name = name, .dtype = *type, .shape = tensor.sizes().vec(), .begin = 0, .end = 0};
}

// Bytes as the file holds them: on the CPU, row-major, lazy conjugation and negation carried out.
at::Tensor plain(const at::Tensor& tensor) { return tensor.detach().resolve_conj().resolve_neg().cpu().contiguous(); }

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

bool is_aligned(const void* address, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0;
}

std::size_t distance_between(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t changed = diagonal + (left[i - 1] == right[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

std::string nearest_names(const std::vector<TensorEntry>& entries, std::string_view name) {
  constexpr std::size_t shown = 3;
  constexpr std::size_t long_name = 200;
  std::vector<std::pair<std::size_t, const std::string*>> ranked;
  for (const auto& entry : entries) {
    if (entry.name.size() <= long_name && name.size() <= long_name) {
      ranked.emplace_back(distance_between(name, entry.name), &entry.name);
    }
  }
  const auto end = ranked.begin() + static_cast<std::ptrdiff_t>(std::min(shown, ranked.size()));
  std::partial_sort(ranked.begin(), end, ranked.end());
  std::string text;
  for (auto each = ranked.begin(); each != end; ++each) text.append(text.empty() ? "" : ", ").append(*each->second);
  return text;
}

}  // namespace

std::optional<SafetensorsType> safetensors_type_of(at::ScalarType type) noexcept {
  for (const auto& [ours, theirs] : type_pairs) {
    if (theirs == type) return ours;
  }
  return std::nullopt;
}

void write_safetensors(const std::filesystem::path& path, std::span<const std::pair<std::string, at::Tensor>> tensors,
                       const SafetensorsMetadata& metadata) {
  std::vector<TensorEntry> entries;
  std::unordered_map<std::string_view, const at::Tensor*> by_name;
  for (const auto& [name, tensor] : tensors) {
    entries.push_back(entry_for(name, tensor, path));
    by_name.emplace(name, &tensor);
  }
  const SafetensorsIndex index = arrange_safetensors(std::move(entries), metadata);
  write_file_atomically(path, [&](FileWriter& writer) {
    writer.write(safetensors_header(index));
    for (const auto& entry : index.entries) writer.write(bytes_of(plain(*by_name.at(entry.name))));
  });
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path),
      mapping_(std::make_shared<MappedFile>(path)),
      index_(parse_safetensors(std::as_const(*mapping_).bytes(), path.string())) {
  auto places = std::make_shared<detail::NamePlaces>();
  places->reserve(index_.entries.size());
  for (std::size_t i = 0; i < index_.entries.size(); ++i) places->emplace(index_.entries[i].name, i);
  position_ = std::move(places);
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> all;
  all.reserve(index_.entries.size());
  for (const auto& entry : index_.entries) all.push_back(entry.name);
  return all;
}

bool SafetensorsFile::contains(std::string_view name) const { return position_->contains(std::string(name)); }

const TensorEntry& SafetensorsFile::entry(std::string_view name) const {
  const auto found = position_->find(std::string(name));
  if (found != position_->end()) return index_.entries[found->second];
  throw Error({.what = "there is no tensor of this name in the file",
               .where = path_.string(),
               .got = std::string(name),
               .expected = index_.entries.empty() ? "nothing, the file has no tensors"
                                                  : "one of its " + std::to_string(index_.entries.size()) +
                                                        " names, the nearest: " + nearest_names(index_.entries, name)});
}

at::Tensor SafetensorsFile::tensor(std::string_view name) const {
  const TensorEntry& found = entry(name);
  const auto options = at::TensorOptions().dtype(to_aten(found.dtype)).device(at::kCPU);
  const auto data = mapping_->mutable_bytes().subspan(index_.data_begin + found.begin, found.end - found.begin);
  if (found.dtype == SafetensorsType::boolean &&
      std::any_of(data.begin(), data.end(), [](std::byte each) { return each > std::byte{1}; })) {
    throw Error({.what = "a tensor of type BOOL holds bytes that are neither 0 nor 1",
                 .where = path_.string() + ", tensor '" + found.name + "'",
                 .todo = "write the file again, with type U8 if these are numbers"});
  }
  if (data.empty() || !is_aligned(data.data(), bytes_of(found.dtype))) {
    at::Tensor copy = at::empty(found.shape, options);
    if (!data.empty()) std::memcpy(copy.mutable_data_ptr(), data.data(), data.size());
    return copy;
  }
  return at::from_blob(
      data.data(), found.shape, [keep = mapping_](void*) {}, options);
}

NamedTensors SafetensorsFile::tensors() const {
  NamedTensors all;
  all.reserve(index_.entries.size());
  for (const auto& entry : index_.entries) all.emplace_back(entry.name, tensor(entry.name));
  return all;
}

std::optional<detail::TensorLayout> detail::layout_in(const SafetensorsFile& file, const std::string& name) {
  if (!file.contains(name)) return std::nullopt;
  const TensorEntry& entry = file.entry(name);
  return TensorLayout{to_aten(entry.dtype), entry.shape};
}

namespace {

detail::WeightsSource source_of(const SafetensorsFile& file) {
  return {.where = file.path().string(),
          .names = file.names(),
          .layout = [&file](const std::string& name) { return detail::layout_in(file, name); },
          .tensor = [&file](const std::string& name) { return file.tensor(name); }};
}

}  // namespace

WeightsReport compare_weights(const SafetensorsFile& file,
                              std::span<const std::pair<std::string, at::Tensor>> destination) {
  return detail::compare_weights(source_of(file), destination);
}

WeightsReport copy_into(const SafetensorsFile& file, std::span<const std::pair<std::string, at::Tensor>> destination,
                        const LoadOptions& options) {
  file.advise_sequential();
  return detail::copy_weights(source_of(file), destination, options);
}

std::uint32_t SafetensorsFile::crc32() const {
  advise_sequential();
  return crc32_of(std::as_const(*mapping_).bytes());
}

void SafetensorsFile::verify(std::uint32_t expected) const {
  const std::uint32_t found = crc32();
  if (found == expected) return;
  throw Error({.what = "a safetensors file is damaged: its checksum does not fit",
               .where = path_.string(),
               .got = std::to_string(found),
               .expected = std::to_string(expected),
               .todo = "copy or download the file again, or take an older one"});
}

}  // namespace athanor
