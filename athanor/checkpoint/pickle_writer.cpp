// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/pickle_writer.hpp"

#include <bit>
#include <limits>
#include <utility>

namespace athanor {

PickleWriter::PickleWriter() : bytes_("\x80\x02") {}

void PickleWriter::little_endian(std::uint64_t value, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xFFU);
}

void PickleWriter::none() { opcode('N'); }

void PickleWriter::boolean(bool value) { opcode(value ? '\x88' : '\x89'); }

void PickleWriter::integer(std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  if (value >= 0 && value <= 0xFF) {
    opcode('K');
    little_endian(bits, 1);
  } else if (value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max()) {
    opcode('J');
    little_endian(bits, 4);
  } else {
    opcode('\x8A');
    little_endian(sizeof(bits), 1);
    little_endian(bits, sizeof(bits));
  }
}

void PickleWriter::real(double value) {
  opcode('G');
  little_endian(__builtin_bswap64(std::bit_cast<std::uint64_t>(value)), sizeof(value));
}

void PickleWriter::text(std::string_view value) {
  opcode('X');
  little_endian(value.size(), 4);
  bytes_.append(value);
}

void PickleWriter::integers(std::span<const std::int64_t> values) {
  begin_tuple();
  for (const std::int64_t value : values) integer(value);
  end_tuple();
}

void PickleWriter::global(std::string_view module, std::string_view name) {
  opcode('c');
  bytes_.append(module).append("\n").append(name).append("\n");
}

void PickleWriter::begin_tuple() { opcode('('); }

void PickleWriter::end_tuple() { opcode('t'); }

void PickleWriter::begin_list() { bytes_ += "]("; }

void PickleWriter::end_list() { opcode('e'); }

void PickleWriter::begin_dictionary() { bytes_ += "}("; }

void PickleWriter::end_dictionary() { opcode('u'); }

void PickleWriter::call() { opcode('R'); }

void PickleWriter::persistent() { opcode('Q'); }

std::string PickleWriter::finish() {
  opcode('.');
  return std::move(bytes_);
}

}  // namespace athanor
