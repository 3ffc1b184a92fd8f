// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: checks of the whole, and the writer. The JSON itself is read by safetensors_json.
#include "athanor/checkpoint/safetensors_index.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "athanor/checkpoint/safetensors_json.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/join_numbers.hpp"

namespace athanor {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian, and so must be this machine");

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t max_header_bytes = 100'000'000;
constexpr std::string_view metadata_key = "__metadata__";
constexpr auto broken_file_advice = "write or download the file again";

std::string place(std::string_view file_name, const TensorEntry& entry) {
  return std::string(file_name) + ", tensor '" + shortened(entry.name) + "'";
}

std::string range_text(const TensorEntry& entry) {
  return "bytes " + std::to_string(entry.begin) + " to " + std::to_string(entry.end);
}

std::string entry_shape_text(const std::vector<std::int64_t>& shape) { return "[" + join_numbers(shape) + "]"; }

// A size of 0 counts as 1 for the overflow check: strides are computed from the other sizes all the same.
std::uint64_t data_bytes(const TensorEntry& entry, const std::string& where) {
  std::uint64_t product = bytes_of(entry.dtype);
  bool empty = false;
  for (const std::int64_t size : entry.shape) {
    if (size < 0) {
      throw Error({.what = "a tensor has a negative size", .where = where, .got = entry_shape_text(entry.shape)});
    }
    empty = empty || size == 0;
    if (size > 1 && __builtin_mul_overflow(product, static_cast<std::uint64_t>(size), &product)) {
      product = std::numeric_limits<std::uint64_t>::max();
      break;
    }
  }
  if (product > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    throw Error({.what = "a tensor is larger than any memory",
                 .where = where,
                 .got = std::string(name_of(entry.dtype)) + " " + entry_shape_text(entry.shape),
                 .expected = "less than 2^63 bytes"});
  }
  return empty ? 0 : product;
}

void check_entry(const TensorEntry& entry, std::uint64_t section_bytes, std::string_view file_name) {
  const std::string where = place(file_name, entry);
  const std::uint64_t needed = data_bytes(entry, where);
  if (entry.begin > entry.end || entry.end > section_bytes) {
    throw Error({.what = "the data of a tensor lies outside the file",
                 .where = where,
                 .got = range_text(entry),
                 .expected = "a range within the " + std::to_string(section_bytes) + " bytes of data in the file",
                 .todo = broken_file_advice});
  }
  if (entry.end - entry.begin != needed) {
    throw Error({.what = "the data of a tensor has another length than its type and shape ask for",
                 .where = where,
                 .got = range_text(entry) + ", which are " + std::to_string(entry.end - entry.begin),
                 .expected = std::to_string(needed) + " bytes for " + std::string(name_of(entry.dtype)) + " " +
                             entry_shape_text(entry.shape),
                 .todo = broken_file_advice});
  }
}

void check_cover(const std::vector<TensorEntry>& entries, std::uint64_t section_bytes, std::string_view file_name) {
  std::vector<const TensorEntry*> by_place;
  by_place.reserve(entries.size());
  for (const auto& entry : entries) by_place.push_back(&entry);
  std::sort(by_place.begin(), by_place.end(), [](const TensorEntry* left, const TensorEntry* right) {
    return std::pair(left->begin, left->end) < std::pair(right->begin, right->end);
  });
  std::uint64_t reached = 0;
  const TensorEntry* previous = nullptr;
  for (const TensorEntry* entry : by_place) {
    if (entry->begin < reached) {
      throw Error({.what = "two tensors overlap",
                   .where = place(file_name, *entry) + " and tensor '" + shortened(previous->name) + "'",
                   .got = range_text(*entry) + " and " + range_text(*previous),
                   .expected = "each tensor has bytes of its own",
                   .todo = broken_file_advice});
    }
    if (entry->begin > reached) {
      throw Error({.what = "there is a hole before the data of a tensor",
                   .where = place(file_name, *entry),
                   .got = "data from byte " + std::to_string(entry->begin),
                   .expected = "data from byte " + std::to_string(reached),
                   .todo = broken_file_advice});
    }
    reached = entry->end;
    previous = entry;
  }
  if (reached != section_bytes) {
    throw Error({.what = "the file goes on after its last tensor",
                 .where = std::string(file_name),
                 .got = std::to_string(section_bytes) + " bytes of data",
                 .expected = std::to_string(reached) + " bytes, as the header says",
                 .todo = broken_file_advice});
  }
}

}  // namespace

SafetensorsIndex parse_safetensors(std::span<const std::byte> file, std::string_view file_name) {
  const std::string where(file_name);
  if (file.size() < length_bytes) {
    throw Error({.what = "the file is too short to be a safetensors file",
                 .where = where,
                 .got = std::to_string(file.size()) + " bytes",
                 .expected = "at least 8 bytes, the length of the header",
                 .todo = broken_file_advice});
  }
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), length_bytes);
  const std::uint64_t rest = file.size() - length_bytes;
  if (header_bytes > max_header_bytes || header_bytes > rest) {
    const bool over_limit = header_bytes > max_header_bytes;
    throw Error(
        {.what = over_limit ? "the file is not a safetensors file, or its header is too long"
                            : "the file ends within its header",
         .where = where,
         .got = "a header of " + std::to_string(header_bytes) + " bytes",
         .expected = over_limit ? "at most 100000000 bytes"
                                : "at most " + std::to_string(rest) + " bytes, which follow in the file",
         .todo = over_limit ? "check that this is a safetensors file and not another format" : broken_file_advice});
  }
  const auto header = file.subspan(length_bytes, header_bytes);
  SafetensorsIndex index =
      parse_safetensors_json(std::string_view(reinterpret_cast<const char*>(header.data()), header.size()), file_name);
  index.data_begin = length_bytes + header_bytes;
  const std::uint64_t section_bytes = file.size() - index.data_begin;
  for (const auto& entry : index.entries) check_entry(entry, section_bytes, file_name);
  check_cover(index.entries, section_bytes, file_name);
  return index;
}

SafetensorsIndex arrange_safetensors(std::vector<TensorEntry> entries, SafetensorsMetadata metadata) {
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& left, const TensorEntry& right) {
    return left.dtype != right.dtype ? left.dtype > right.dtype : left.name < right.name;
  });
  std::set<std::string_view> names;
  std::uint64_t reached = 0;
  for (auto& entry : entries) {
    const std::string where = "tensor '" + shortened(entry.name) + "'";
    if (entry.name == metadata_key) {
      throw Error({.what = "this name is reserved in safetensors files",
                   .where = where,
                   .todo = "give the tensor another name"});
    }
    if (!names.insert(entry.name).second) {
      throw Error({.what = "two tensors have the same name", .where = where, .todo = "give each its own name"});
    }
    entry.begin = reached;
    if (__builtin_add_overflow(reached, data_bytes(entry, where), &reached) ||
        reached > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      throw Error({.what = "the tensors together are larger than any file", .where = where});
    }
    entry.end = reached;
  }
  SafetensorsIndex index{.entries = std::move(entries), .metadata = std::move(metadata), .data_begin = 0};
  index.data_begin = safetensors_header(index).size();
  return index;
}

std::string safetensors_header(const SafetensorsIndex& index) {
  std::string text;
  try {
    text = "{";
    const auto add = [&](const std::string& key, const nlohmann::ordered_json& value) {
      if (text.size() > 1) text += ',';
      text.append(nlohmann::ordered_json(key).dump()).append(":").append(value.dump());
    };
    if (!index.metadata.empty()) add(std::string(metadata_key), index.metadata);
    for (const auto& entry : index.entries) {
      nlohmann::ordered_json value;
      value["dtype"] = name_of(entry.dtype);
      value["shape"] = entry.shape;
      value["data_offsets"] = {entry.begin, entry.end};
      add(entry.name, value);
    }
    text += '}';
  } catch (const nlohmann::json::type_error& failure) {
    throw Error({.what = "a name or a metadata string is not UTF-8",
                 .where = "the header of a safetensors file",
                 .got = shortened(failure.what()),
                 .todo = "give names and metadata as UTF-8"});
  }
  text.append((length_bytes - text.size() % length_bytes) % length_bytes, ' ');
  if (text.size() > max_header_bytes) {
    throw Error({.what = "names and metadata are too long for a safetensors file",
                 .got = "a header of " + std::to_string(text.size()) + " bytes",
                 .expected = "at most 100000000 bytes"});
  }
  std::string bytes(length_bytes, '\0');
  const std::uint64_t header_bytes = text.size();
  std::memcpy(bytes.data(), &header_bytes, length_bytes);
  return bytes + text;
}

}  // namespace athanor
