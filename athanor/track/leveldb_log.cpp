// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/leveldb_log.hpp"

#include <zlib.h>

#include <string>

namespace athanor::track {
namespace {

constexpr size_t log_block_size = 32768;
constexpr size_t log_head_size = 7;
enum PieceType { piece_full = 1, piece_first = 2, piece_middle = 3, piece_last = 4 };

}  // namespace

LevelDbLog::LevelDbLog(const std::filesystem::path& path) : file_(path) {
  constexpr std::string_view head("\x3aW&B\xe1\xbe\x00", log_head_size);
  file_.write(head);
  offset_ = head.size();
}

void LevelDbLog::write_piece(int type, std::string_view data) {
  const auto kind = static_cast<unsigned char>(type);
  uLong crc = ::crc32(0, &kind, 1);
  crc = ::crc32(crc, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size()));
  std::string head;
  for (int i = 0; i < 4; ++i) head += static_cast<char>(crc >> 8 * i);
  head += static_cast<char>(data.size());
  head += static_cast<char>(data.size() >> 8);
  head += static_cast<char>(type);
  file_.write(head);
  file_.write(data);
  offset_ += log_head_size + data.size();
}

void LevelDbLog::write(std::string_view record) {
  bool begun = false;
  for (bool done = false; !done;) {
    size_t left = log_block_size - offset_;
    if (left < log_head_size) {
      file_.write(std::string(left, '\0'));
      offset_ = 0;
      left = log_block_size;
    }
    const std::string_view piece = record.substr(0, left - log_head_size);
    record.remove_prefix(piece.size());
    done = record.empty();
    write_piece(begun ? (done ? piece_last : piece_middle) : (done ? piece_full : piece_first), piece);
    if (offset_ == log_block_size) offset_ = 0;
    begun = true;
  }
}

}  // namespace athanor::track
