// SPDX-License-Identifier: Apache-2.0
// The element types of torch: their names, sizes and classes of storages.
#include <array>

#include "athanor/checkpoint/torch_index.hpp"

namespace athanor {
namespace {

struct TorchTypeRow {
  TorchType type;
  std::string_view name;
  std::size_t bytes;
  std::string_view storage;
};

constexpr std::array<TorchTypeRow, torch_types> torch_type_rows{{
    {TorchType::float64, "float64", 8, "DoubleStorage"},
    {TorchType::float32, "float32", 4, "FloatStorage"},
    {TorchType::float16, "float16", 2, "HalfStorage"},
    {TorchType::bfloat16, "bfloat16", 2, "BFloat16Storage"},
    {TorchType::complex128, "complex128", 16, "ComplexDoubleStorage"},
    {TorchType::complex64, "complex64", 8, "ComplexFloatStorage"},
    {TorchType::complex32, "complex32", 4, ""},
    {TorchType::int64, "int64", 8, "LongStorage"},
    {TorchType::int32, "int32", 4, "IntStorage"},
    {TorchType::int16, "int16", 2, "ShortStorage"},
    {TorchType::int8, "int8", 1, "CharStorage"},
    {TorchType::uint64, "uint64", 8, ""},
    {TorchType::uint32, "uint32", 4, ""},
    {TorchType::uint16, "uint16", 2, ""},
    {TorchType::uint8, "uint8", 1, "ByteStorage"},
    {TorchType::boolean, "bool", 1, "BoolStorage"},
    {TorchType::float8_e5m2, "float8_e5m2", 1, ""},
    {TorchType::float8_e4m3fn, "float8_e4m3fn", 1, ""},
    {TorchType::float8_e5m2fnuz, "float8_e5m2fnuz", 1, ""},
    {TorchType::float8_e4m3fnuz, "float8_e4m3fnuz", 1, ""},
    {TorchType::float8_e8m0fnu, "float8_e8m0fnu", 1, ""},
    {TorchType::float4_e2m1fn_x2, "float4_e2m1fn_x2", 1, ""},
    {TorchType::bits8, "bits8", 1, ""},
    {TorchType::bits16, "bits16", 2, ""},
    {TorchType::bits1x8, "bits1x8", 1, ""},
    {TorchType::bits2x4, "bits2x4", 1, ""},
    {TorchType::bits4x2, "bits4x2", 1, ""},
}};

constexpr bool torch_rows_follow_enum() {
  for (std::size_t i = 0; i < torch_type_rows.size(); ++i) {
    if (static_cast<std::size_t>(torch_type_rows[i].type) != i) return false;
  }
  return true;
}
static_assert(torch_rows_follow_enum());

const TorchTypeRow& row_of(TorchType type) { return torch_type_rows[static_cast<std::size_t>(type)]; }

}  // namespace

std::string_view name_of(TorchType type) noexcept { return row_of(type).name; }
std::size_t bytes_of(TorchType type) noexcept { return row_of(type).bytes; }
std::string_view storage_name_of(TorchType type) noexcept { return row_of(type).storage; }

}  // namespace athanor
