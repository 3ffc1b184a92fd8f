// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/png.hpp"

#include <zlib.h>

#include "athanor/core/error.hpp"
#include "athanor/core/tree.hpp"

namespace athanor::track {
namespace {

std::string big_endian(uint32_t value) {
  std::string bytes(4, '\0');
  for (int i = 0; i < 4; ++i) bytes[static_cast<size_t>(i)] = static_cast<char>(value >> (24 - 8 * i));
  return bytes;
}

void add_chunk(std::string& file, const std::string& kind, const std::string& content) {
  const std::string checked = kind + content;
  file += big_endian(static_cast<uint32_t>(content.size())) + checked;
  file += big_endian(static_cast<uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()))));
}

std::string deflate_all(const std::string& bytes) {
  uLongf size = ::compressBound(bytes.size());
  std::string packed(size, '\0');
  const int status = ::compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                                 reinterpret_cast<const Bytef*>(bytes.data()), bytes.size(), Z_DEFAULT_COMPRESSION);
  if (status != Z_OK) throw Error({.what = "a picture can't be compressed", .got = ::zError(status)});
  packed.resize(size);
  return packed;
}

}  // namespace

Png encode_png(const at::Tensor& pixels) {
  const bool usable = pixels.defined() && (pixels.scalar_type() == at::kByte || pixels.is_floating_point()) &&
                      (pixels.dim() == 2 ||
                       (pixels.dim() == 3 && (pixels.size(0) == 1 || pixels.size(0) == 3 || pixels.size(0) == 4))) &&
                      pixels.numel() > 0 && pixels.size(-1) < (1 << 24) && pixels.size(-2) < (1 << 24);
  if (!usable) {
    throw Error({.what = "this tensor is not a picture",
                 .got = pixels.defined() ? describe(pixels) : "no tensor",
                 .expected = "(H, W) or (C, H, W) with 1, 3 or 4 channels, uint8 or floating point",
                 .todo = "a batch is several pictures: record one after another"});
  }
  at::Tensor picture = pixels.detach().to(at::kCPU);
  if (picture.dim() == 2) picture = picture.unsqueeze(0);
  if (picture.is_floating_point()) {
    picture = picture.to(at::kFloat).nan_to_num(0, 1, 0).clamp(0, 1).mul(255).round().to(at::kByte);
  }
  picture = picture.permute({1, 2, 0}).contiguous();
  const int64_t height = picture.size(0);
  const int64_t width = picture.size(1);
  const int64_t channels = picture.size(2);
  const auto* data = reinterpret_cast<const char*>(picture.const_data_ptr<uint8_t>());
  const auto row_bytes = static_cast<size_t>(width * channels);
  std::string rows;
  rows.reserve(static_cast<size_t>(height) * (row_bytes + 1));
  for (int64_t row = 0; row < height; ++row) {
    rows += '\0';  // no filter
    rows.append(data + static_cast<size_t>(row) * row_bytes, row_bytes);
  }
  const char colour = channels == 1 ? '\0' : channels == 3 ? '\2' : '\6';
  std::string file("\x89PNG\r\n\x1a\n", 8);
  add_chunk(file, "IHDR",
            big_endian(static_cast<uint32_t>(width)) + big_endian(static_cast<uint32_t>(height)) +
                std::string({8, colour, 0, 0, 0}));
  add_chunk(file, "IDAT", deflate_all(rows));
  add_chunk(file, "IEND", "");
  return {.bytes = std::move(file), .height = height, .width = width, .channels = channels};
}

}  // namespace athanor::track
