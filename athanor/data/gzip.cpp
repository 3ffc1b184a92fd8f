// SPDX-License-Identifier: Apache-2.0
// gzip by zlib, straight into one buffer of the size that the file foretells.
#include "athanor/data/gzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"

namespace athanor {
namespace {

constexpr std::size_t trailer_bytes = 8;
constexpr std::uint64_t best_ratio = 1032;  // Deflate can't do better, so no file foretells more than this.
constexpr int gzip_window = 15 + 16;        // The largest window, with a gzip header and check sum.

class Inflater {
 public:
  Inflater() {
    if (inflateInit2(&stream, gzip_window) != Z_OK) throw Error({.what = "there is no memory to unpack a gzip file"});
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream); }

  z_stream stream{};
};

OwnedBytes allocate(std::size_t size) { return {std::make_unique_for_overwrite<std::byte[]>(size), size}; }

// The last four bytes hold the unpacked length modulo 2^32: exact for one member below 4 GiB, else a first guess.
std::size_t foretold_size(std::span<const std::byte> bytes, std::uint64_t limit) {
  std::uint64_t size = 0;
  if (bytes.size() > trailer_bytes) {
    for (std::size_t i = 0; i < 4; ++i) size |= std::to_integer<std::uint64_t>(bytes[bytes.size() - 4 + i]) << 8U * i;
  }
  return std::clamp<std::uint64_t>(std::min(size, bytes.size() * best_ratio), 1, std::max<std::uint64_t>(limit, 1));
}

[[noreturn]] void refuse_size(std::string_view file_name, std::uint64_t limit) {
  throw Error({.what = "the unpacked content of a gzip file is larger than allowed",
               .where = std::string(file_name),
               .got = "more than " + std::to_string(limit) + " bytes",
               .expected = "at most " + std::to_string(limit) + " bytes",
               .todo = "if the file is what it should be, raise UnpackOptions::max_bytes"});
}

void grow(OwnedBytes& buffer, std::size_t filled, std::string_view file_name, std::uint64_t limit) {
  if (buffer.size >= limit) refuse_size(file_name, limit);
  OwnedBytes larger = allocate(std::min<std::uint64_t>(std::uint64_t{buffer.size} * 2 + 4096, limit));
  std::memcpy(larger.data.get(), buffer.data.get(), filled);
  buffer = std::move(larger);
}

uInt clipped(std::size_t size) {
  return static_cast<uInt>(std::min<std::size_t>(size, std::numeric_limits<uInt>::max()));
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte each) { return each == std::byte{0}; });
}

}  // namespace

bool is_gzip(std::span<const std::byte> bytes) noexcept {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1F} && bytes[1] == std::byte{0x8B};
}

OwnedBytes unpack_gzip(std::span<const std::byte> bytes, std::string_view file_name, const UnpackOptions& options) {
  const std::string where(file_name);
  if (!is_gzip(bytes)) {
    throw Error({.what = "this is not a gzip file",
                 .where = where,
                 .expected = "a file that begins with the bytes 1f 8b",
                 .todo = "check that this is the right file"});
  }
  const std::uint64_t limit = std::min<std::uint64_t>(
      options.max_bytes, static_cast<std::uint64_t>(std::numeric_limits<std::ptrdiff_t>::max()));
  OwnedBytes buffer = allocate(foretold_size(bytes, limit));
  Inflater inflater;
  z_stream& stream = inflater.stream;
  std::size_t taken = 0;
  std::size_t filled = 0;
  for (;;) {
    std::byte overflow{};  // With no room left, one spare byte lets zlib show whether the stream ends here.
    const bool full = filled == buffer.size;
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data() + taken));
    stream.avail_in = clipped(bytes.size() - taken);
    stream.next_out = reinterpret_cast<Bytef*>(full ? &overflow : buffer.data.get() + filled);
    stream.avail_out = full ? 1 : clipped(buffer.size - filled);
    const uInt input = stream.avail_in;
    const uInt output = stream.avail_out;
    const int status = inflate(&stream, Z_NO_FLUSH);
    const std::size_t consumed = input - stream.avail_in;
    taken += consumed;
    const std::size_t produced = output - stream.avail_out;
    if (full && produced == 1) {
      grow(buffer, filled, file_name, limit);
      buffer.data[filled] = overflow;
    }
    filled += produced;
    if (filled > limit) refuse_size(file_name, limit);

    if (status == Z_STREAM_END) {
      const auto rest = bytes.subspan(taken);
      if (all_zero(rest)) break;
      if (!is_gzip(rest)) {
        throw Error({.what = "a gzip file goes on after its end",
                     .where = where,
                     .got = std::to_string(rest.size()) + " more bytes from byte " + std::to_string(taken),
                     .todo = "download the file again"});
      }
      inflateReset(&stream);
    } else if (status == Z_DATA_ERROR || status == Z_NEED_DICT) {
      throw Error({.what = "a gzip file is damaged",
                   .where = where + ", before byte " + std::to_string(taken),
                   .got = stream.msg != nullptr ? stream.msg : "data that can't be unpacked",
                   .todo = "download the file again"});
    } else if (status == Z_MEM_ERROR) {
      throw Error({.what = "there is no memory to unpack a gzip file", .where = where});
    } else if (produced == 0 && consumed == 0) {
      throw Error({.what = "a gzip file is cut short",
                   .where = where,
                   .got = std::to_string(bytes.size()) + " bytes, which end within the packed data",
                   .todo = "download the file again"});
    }
  }
  buffer.size = filled;
  return buffer;
}

OwnedBytes read_file_unpacked(const std::filesystem::path& path, const UnpackOptions& options) {
  const MappedFile file(path);
  file.advise_sequential();
  if (is_gzip(file.bytes())) return unpack_gzip(file.bytes(), path.string(), options);
  OwnedBytes content = allocate(file.bytes().size());
  std::copy(file.bytes().begin(), file.bytes().end(), content.data.get());
  return content;
}

std::span<const std::byte> OwnedBytes::bytes() const noexcept { return {data.get(), size}; }

}  // namespace athanor
