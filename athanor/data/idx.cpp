// SPDX-License-Identifier: Apache-2.0
// IDX files as tensors: bytes are taken over as they are, wider elements turned to the byte order of this machine.
#include "athanor/data/idx.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <bit>
#include <cstring>
#include <system_error>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/data/idx_index.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little);

at::ScalarType to_aten(IdxType type) {
  switch (type) {
    case IdxType::uint8:
      return at::kByte;
    case IdxType::int8:
      return at::kChar;
    case IdxType::int16:
      return at::kShort;
    case IdxType::int32:
      return at::kInt;
    case IdxType::float32:
      return at::kFloat;
    case IdxType::float64:
      break;
  }
  return at::kDouble;
}

template <typename Word, Word (*Swap)(Word)>
void copy_swapped(std::byte* to, const std::byte* from, std::size_t elements) {
  for (std::size_t i = 0; i < elements; ++i) {
    Word word;
    std::memcpy(&word, from + i * sizeof(Word), sizeof(Word));
    word = Swap(word);
    std::memcpy(to + i * sizeof(Word), &word, sizeof(Word));
  }
}

std::uint16_t swap_2(std::uint16_t word) { return __builtin_bswap16(word); }
std::uint32_t swap_4(std::uint32_t word) { return __builtin_bswap32(word); }
std::uint64_t swap_8(std::uint64_t word) { return __builtin_bswap64(word); }

fs::path existing(const fs::path& path) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) return path;
  fs::path packed = path;
  packed += ".gz";
  if (fs::exists(packed, ignored)) return packed;
  throw Error({.what = "an IDX file is missing",
               .where = path.string(),
               .got = "neither " + path.string() + " nor " + packed.string() + " is there",
               .todo = "check the path, or download the file"});
}

}  // namespace

at::Tensor read_idx(const fs::path& path, const UnpackOptions& options) {
  const fs::path found = existing(path);
  OwnedBytes content = read_file_unpacked(found, options);
  const IdxIndex index = parse_idx(content.bytes(), found.string());
  const auto tensor_options = at::TensorOptions().dtype(to_aten(index.type)).device(at::kCPU);
  std::byte* data = content.data.get() + index.data_begin;
  if (bytes_of(index.type) == 1 && index.elements > 0) {
    std::shared_ptr<std::byte[]> owner = std::move(content.data);
    return at::from_blob(
        data, index.shape, [owner](void*) {}, tensor_options);
  }
  at::Tensor tensor = at::empty(index.shape, tensor_options);
  auto* target = static_cast<std::byte*>(tensor.mutable_data_ptr());
  switch (bytes_of(index.type)) {
    case 2:
      copy_swapped<std::uint16_t, swap_2>(target, data, index.elements);
      break;
    case 4:
      copy_swapped<std::uint32_t, swap_4>(target, data, index.elements);
      break;
    case 8:
      copy_swapped<std::uint64_t, swap_8>(target, data, index.elements);
      break;
    default:
      break;
  }
  return tensor;
}

}  // namespace athanor
