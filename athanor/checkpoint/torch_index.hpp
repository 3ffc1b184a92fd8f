// SPDX-License-Identifier: Apache-2.0
// What a file of torch.save holds, as plain structures: values, and where the data of each tensor lies. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "athanor/checkpoint/pickle.hpp"
#include "athanor/checkpoint/zip_index.hpp"

namespace athanor {

/// The element types that torch.save writes, but for quantized ones.
enum class TorchType : std::uint8_t {
  float64,
  float32,
  float16,
  bfloat16,
  complex128,
  complex64,
  complex32,
  int64,
  int32,
  int16,
  int8,
  uint64,
  uint32,
  uint16,
  uint8,
  boolean,
  float8_e5m2,
  float8_e4m3fn,
  float8_e5m2fnuz,
  float8_e4m3fnuz,
  float8_e8m0fnu,
  float4_e2m1fn_x2,
  bits8,
  bits16,
  bits1x8,
  bits2x4,
  bits4x2,
};
inline constexpr std::size_t torch_types = 27;

/// The name in Python, such as "float32" or "bool".
[[nodiscard]] std::string_view name_of(TorchType type) noexcept;
/// The size of one element in bytes: 1, 2, 4, 8 or 16.
[[nodiscard]] std::size_t bytes_of(TorchType type) noexcept;
/// The class of its storages, `FloatStorage`; empty for the younger types, whose storages have no type.
[[nodiscard]] std::string_view storage_name_of(TorchType type) noexcept;

/// Memory that one or several tensors look at.
struct TorchStorage {
  std::string name = {};                    ///< For messages.
  std::uint64_t begin = 0;                  ///< Its first byte in the file.
  std::uint64_t bytes = 0;                  ///< Its length.
  std::optional<std::uint32_t> crc32 = {};  ///< As the file tells it; unset when it tells none.
  std::optional<std::string> own = {};      ///< The bytes themselves, where they lie inside the pickle.
};

/// A tensor: a view of a storage that lies within it, all in elements, none negative, at most 64 dimensions.
struct TorchTensor {
  TorchType dtype = TorchType::float32;
  std::vector<std::int64_t> sizes = {};
  std::vector<std::int64_t> strides = {};
  std::int64_t offset = 0;
  std::size_t storage = 0;  ///< Its place in `TorchIndex::storages`.
  bool requires_grad = false;
  bool conjugate = false;  ///< The values are the conjugates of what is stored.
  bool negative = false;   ///< The values are the negatives of what is stored.
};

/// A value of a file, as `Tree` has them.
struct TorchValue {
  using List = std::vector<TorchValue>;
  using Dictionary = std::vector<std::pair<std::string, TorchValue>>;
  struct Tensor {
    std::size_t index;  ///< Its place in `TorchIndex::tensors`; the same tensor in two places has one.
  };
  std::variant<std::monostate, Tensor, bool, std::int64_t, double, std::string, List, Dictionary> value = {};
};

/// What a file says.
struct TorchIndex {
  TorchValue root = {};
  std::vector<TorchTensor> tensors = {};
  std::vector<TorchStorage> storages = {};
};

/// The entry of the pickle in an archive of torch.save, `NAME/data.pkl`. Throws Error when there is none, and when it
/// is another kind of archive, such as TorchScript.
[[nodiscard]] const ZipEntry& torch_pickle_entry(const ZipIndex& archive, std::string_view file_name);

/// Reads a whole file whose archive was parsed. How values become those of a `Tree` is told at `load_torch_file`.
///
/// What is checked: every tensor lies within its storage and every storage within its entry, sizes do not overflow, a
/// dictionary has no key twice, nesting ends after 200 levels, and values that occur in several places do not multiply
/// beyond four times the bytes of the pickle. Throws Error that names the path of the value, `model.0.weight`.
[[nodiscard]] TorchIndex parse_torch_archive(std::span<const std::byte> file, const ZipIndex& archive,
                                             std::string_view file_name);

/// Reads a whole file of the format that torch.save wrote before 1.6, which is not an archive but several pickles and
/// the data of the storages behind them.
[[nodiscard]] TorchIndex parse_torch_legacy(std::span<const std::byte> file, std::string_view file_name);

}  // namespace athanor
