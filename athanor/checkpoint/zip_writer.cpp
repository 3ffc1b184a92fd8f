// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/zip_writer.hpp"

#include <algorithm>
#include <utility>

namespace athanor {
namespace {

constexpr std::uint64_t limit32 = 0xFFFFFFFF;
constexpr std::uint16_t utf8_names = 0x0800;
constexpr std::uint16_t checksum_follows = 0x0008;
constexpr std::uint16_t zip_version = 20;
constexpr std::uint16_t zip_version64 = 45;
constexpr std::uint16_t first_day = 0x0021;  // the first of January 1980

class LittleEndian {
 public:
  LittleEndian& u16(std::uint64_t value) { return number(value, 2); }
  LittleEndian& u32(std::uint64_t value) { return number(value, 4); }
  LittleEndian& u64(std::uint64_t value) { return number(value, 8); }
  LittleEndian& text(std::string_view value) {
    bytes.append(value);
    return *this;
  }
  std::string bytes;

 private:
  LittleEndian& number(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFFU);
    return *this;
  }
};

std::uint64_t capped_to_32_bits(std::uint64_t value) { return std::min(value, limit32); }

std::uint16_t zip_flags(std::uint64_t bytes) { return bytes > 0 ? utf8_names | checksum_follows : utf8_names; }

bool needs_64_bits(std::uint64_t bytes, std::uint64_t offset) { return bytes >= limit32 || offset >= limit32; }

/// The numbers that do not fit into 32 bits, in the order that the format asks for.
std::string zip_extension(std::uint64_t bytes, std::uint64_t offset) {
  if (!needs_64_bits(bytes, offset)) return {};
  LittleEndian numbers;
  if (bytes >= limit32) numbers.u64(bytes).u64(bytes);
  if (offset >= limit32) numbers.u64(offset);
  LittleEndian field;
  return field.u16(1).u16(numbers.bytes.size()).text(numbers.bytes).bytes;
}

}  // namespace

std::string zip_header(std::string_view name, std::uint64_t bytes, std::uint64_t offset) {
  // The field of padding, whose kind is FB, is what torch.load counts on when it computes offsets without reading.
  constexpr std::uint64_t header_bytes = 30;
  constexpr std::uint64_t field_bytes = 4;
  const std::string extension = zip_extension(bytes, offset);
  const std::uint64_t unpadded = offset + header_bytes + name.size() + extension.size() + field_bytes;
  const std::uint64_t padding = (zip_alignment - unpadded % zip_alignment) % zip_alignment;
  LittleEndian header;
  header.u32(0x04034B50).u16(needs_64_bits(bytes, offset) ? zip_version64 : zip_version).u16(zip_flags(bytes)).u16(0);
  header.u16(0).u16(first_day).u32(0).u32(0).u32(0);
  header.u16(name.size()).u16(extension.size() + field_bytes + padding);
  header.text(name).text(extension).text("FB").u16(padding).text(std::string(padding, 'Z'));
  return header.bytes;
}

void ZipWriter::put(std::span<const std::byte> bytes) {
  write_(bytes);
  position_ += bytes.size();
}

void ZipWriter::add(std::string_view name, std::span<const std::byte> content) {
  constexpr std::size_t piece = std::size_t{1} << 20U;
  const std::uint64_t header = position_;
  put(zip_header(name, content.size(), header));
  Written written{.entry = {.name = std::string(name), .begin = position_, .bytes = content.size()}, .header = header};
  for (auto rest = content; !rest.empty(); rest = rest.subspan(std::min(piece, rest.size()))) {
    const auto next = rest.first(std::min(piece, rest.size()));
    written.entry.crc32 = crc32_of(next, written.entry.crc32);
    put(next);
  }
  if (!content.empty()) {
    LittleEndian descriptor;
    descriptor.u32(0x08074B50).u32(written.entry.crc32);
    if (needs_64_bits(content.size(), header)) {
      descriptor.u64(content.size()).u64(content.size());
    } else {
      descriptor.u32(content.size()).u32(content.size());
    }
    put(descriptor.bytes);
  }
  written_.push_back(std::move(written));
}

void ZipWriter::finish() {
  const std::uint64_t directory = position_;
  for (const auto& [entry, header] : written_) {
    const std::string extension = zip_extension(entry.bytes, header);
    const std::uint16_t needed = extension.empty() ? zip_version : zip_version64;
    LittleEndian line;
    line.u32(0x02014B50).u16(zip_version64).u16(needed).u16(zip_flags(entry.bytes)).u16(0).u16(0).u16(first_day);
    line.u32(entry.crc32).u32(capped_to_32_bits(entry.bytes)).u32(capped_to_32_bits(entry.bytes));
    line.u16(entry.name.size()).u16(extension.size()).u16(0).u16(0).u16(0).u32(0).u32(capped_to_32_bits(header));
    put(line.text(entry.name).text(extension).bytes);
  }
  const std::uint64_t directory_bytes = position_ - directory;
  const std::uint64_t end = position_;
  const std::uint64_t count = written_.size();
  const std::uint64_t capped_count = std::min<std::uint64_t>(count, 0xFFFF);
  LittleEndian tail;
  tail.u32(0x06064B50).u64(44).u16(zip_version64).u16(zip_version64).u32(0).u32(0).u64(count).u64(count);
  tail.u64(directory_bytes).u64(directory);
  tail.u32(0x07064B50).u32(0).u64(end).u32(1);
  tail.u32(0x06054B50).u16(0).u16(0).u16(capped_count).u16(capped_count);
  tail.u32(capped_to_32_bits(directory_bytes)).u32(capped_to_32_bits(directory)).u16(0);
  put(tail.bytes);
}

}  // namespace athanor
