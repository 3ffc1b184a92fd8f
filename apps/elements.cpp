// SPDX-License-Identifier: Apache-2.0
#include "apps/elements.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace athanor::command {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::array<std::pair<SafetensorsType, TorchType>, 16> same_types{{
    {SafetensorsType::boolean, TorchType::boolean},
    {SafetensorsType::uint8, TorchType::uint8},
    {SafetensorsType::int8, TorchType::int8},
    {SafetensorsType::float8_e5m2, TorchType::float8_e5m2},
    {SafetensorsType::float8_e4m3, TorchType::float8_e4m3fn},
    {SafetensorsType::int16, TorchType::int16},
    {SafetensorsType::uint16, TorchType::uint16},
    {SafetensorsType::float16, TorchType::float16},
    {SafetensorsType::bfloat16, TorchType::bfloat16},
    {SafetensorsType::int32, TorchType::int32},
    {SafetensorsType::uint32, TorchType::uint32},
    {SafetensorsType::float32, TorchType::float32},
    {SafetensorsType::complex64, TorchType::complex64},
    {SafetensorsType::float64, TorchType::float64},
    {SafetensorsType::int64, TorchType::int64},
    {SafetensorsType::uint64, TorchType::uint64},
}};

double from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  double value = 0;
  if (exponent == 31) {
    value = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, -24);
  } else {
    value = std::ldexp(fraction + 1024, exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

double from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

double from_e4m3fn(std::uint8_t bits) {
  const int exponent = bits >> 3 & 15;
  const int fraction = bits & 7;
  double value = 0;
  if (exponent == 15 && fraction == 7) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, -9);
  } else {
    value = std::ldexp(fraction + 8, exponent - 10);
  }
  return (bits & 0x80) != 0 ? -value : value;
}

/// The high half of `bits`, to the nearest, of two the even one.
std::uint16_t to_bfloat16(float value) {
  if (std::isnan(value)) return 0x7FC0;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

std::uint16_t to_half(float value) {
  constexpr std::uint32_t infinity = 0x7F800000;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  const std::uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > infinity) return sign | 0x7E00;
  if (magnitude >= 0x477FF000) return sign | 0x7C00;  // 65520 and above
  if (magnitude < 0x38800000) {                       // below the least normal one, 2^-14
    // The processor rounds: of 2^-1 and more only multiples of 2^-24 are floats.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return sign | static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(shifted) - 0x3F000000);
  }
  const std::uint32_t rounded = magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1);
  return sign | static_cast<std::uint16_t>(rounded >> 13);
}

template <class T, class Convert>
void decode_each(std::span<const std::byte> bytes, std::span<double> values, Convert convert) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    T element;
    std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = convert(element);
  }
}

/// `convert` gives the element and whether it is infinite.
template <class T, class Convert>
std::size_t encode_each(std::span<const double> values, std::span<std::byte> bytes, Convert convert) {
  std::size_t lost = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto [element, is_infinite] = convert(values[i]);
    lost += is_infinite && std::isfinite(values[i]) ? 1 : 0;
    const T stored = element;
    std::memcpy(bytes.data() + i * sizeof(T), &stored, sizeof(T));
  }
  return lost;
}

}  // namespace

bool is_decodable(TorchType type) noexcept {
  constexpr std::array decodable{TorchType::float64,  TorchType::float32,     TorchType::float16,
                                 TorchType::bfloat16, TorchType::float8_e5m2, TorchType::float8_e4m3fn};
  return std::find(decodable.begin(), decodable.end(), type) != decodable.end();
}

void decode(TorchType type, std::span<const std::byte> bytes, std::span<double> values) {
  switch (type) {
    case TorchType::float64:
      return decode_each<double>(bytes, values, [](double each) { return each; });
    case TorchType::float32:
      return decode_each<float>(bytes, values, [](float each) { return static_cast<double>(each); });
    case TorchType::float16:
      return decode_each<std::uint16_t>(bytes, values, from_half);
    case TorchType::bfloat16:
      return decode_each<std::uint16_t>(bytes, values, from_bfloat16);
    case TorchType::float8_e5m2:
      return decode_each<std::uint8_t>(
          bytes, values, [](std::uint8_t each) { return from_half(static_cast<std::uint16_t>(each << 8)); });
    default:
      return decode_each<std::uint8_t>(bytes, values, from_e4m3fn);
  }
}

std::size_t encode(TorchType type, std::span<const double> values, std::span<std::byte> bytes) {
  switch (type) {
    case TorchType::float64:
      return encode_each<double>(values, bytes, [](double value) { return std::pair(value, false); });
    case TorchType::float32:
      return encode_each<float>(values, bytes, [](double value) {
        const auto element = static_cast<float>(value);
        return std::pair(element, std::isinf(element));
      });
    case TorchType::float16:
      return encode_each<std::uint16_t>(values, bytes, [](double value) {
        const std::uint16_t element = to_half(static_cast<float>(value));
        return std::pair(element, (element & 0x7FFF) == 0x7C00);
      });
    default:
      return encode_each<std::uint16_t>(values, bytes, [](double value) {
        const std::uint16_t element = to_bfloat16(static_cast<float>(value));
        return std::pair(element, (element & 0x7FFF) == 0x7F80);
      });
  }
}

std::optional<TorchType> encodable_type(std::string_view name) noexcept {
  for (const TorchType type : {TorchType::float64, TorchType::float32, TorchType::float16, TorchType::bfloat16}) {
    if (name_of(type) == name) return type;
  }
  return std::nullopt;
}

TorchType torch_type_of(SafetensorsType type) noexcept { return same_types[static_cast<std::size_t>(type)].second; }

std::optional<SafetensorsType> safetensors_type_of(TorchType type) noexcept {
  const auto* found =
      std::find_if(same_types.begin(), same_types.end(), [&](const auto& pair) { return pair.second == type; });
  if (found == same_types.end()) return std::nullopt;
  return found->first;
}

}  // namespace athanor::command
