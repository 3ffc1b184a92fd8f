// SPDX-License-Identifier: Apache-2.0
// Writing protocol buffers: fields one after another (https://protobuf.dev/programming-guides/encoding).
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace athanor::track {

/// One message that grows field by field. A field that holds its default may be left out.
class ProtobufMessage {
 public:
  ProtobufMessage& integer(uint32_t field, int64_t value) {
    tag(field, 0);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  ProtobufMessage& real(uint32_t field, double value) {
    tag(field, 1);
    fixed(std::bit_cast<uint64_t>(value), 8);
    return *this;
  }
  ProtobufMessage& real32(uint32_t field, float value) {
    tag(field, 5);
    fixed(std::bit_cast<uint32_t>(value), 4);
    return *this;
  }
  /// Text, bytes, or a message of another field.
  ProtobufMessage& bytes(uint32_t field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  ProtobufMessage& message(uint32_t field, const ProtobufMessage& value) { return bytes(field, value.bytes_); }
  ProtobufMessage& reals(uint32_t field, std::span<const double> values) {
    tag(field, 2);
    varint(values.size() * 8);
    for (const double value : values) fixed(std::bit_cast<uint64_t>(value), 8);
    return *this;
  }

  [[nodiscard]] const std::string& data() const noexcept { return bytes_; }

 private:
  void tag(uint32_t field, uint32_t wire) { varint(uint64_t{field} << 3 | wire); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void fixed(uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes_ += static_cast<char>(value >> (8 * i));
  }

  std::string bytes_;
};

}  // namespace athanor::track
