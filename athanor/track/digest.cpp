// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/digest.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace athanor::track {
namespace {

constexpr size_t block_bytes = 64;

/// floor(2^32 |sin(i + 1)|)
const std::array<uint32_t, 64>& md5_constants() {
  static const std::array<uint32_t, 64> constants = [] {
    std::array<uint32_t, 64> values{};
    for (size_t i = 0; i < 64; ++i) {
      values[i] = static_cast<uint32_t>(std::floor(std::abs(std::sin(static_cast<double>(i + 1))) * 4294967296.0));
    }
    return values;
  }();
  return constants;
}

/// The first 32 bits of the fractions of the cube roots of the first 64 primes.
const std::array<uint32_t, 64>& sha256_constants() {
  static const std::array<uint32_t, 64> constants = [] {
    std::array<uint32_t, 64> values{};
    size_t count = 0;
    for (uint32_t candidate = 2; count < 64; ++candidate) {
      bool prime = true;
      for (uint32_t divisor = 2; divisor * divisor <= candidate; ++divisor) prime = prime && candidate % divisor != 0;
      if (!prime) continue;
      const long double root = std::cbrt(static_cast<long double>(candidate));
      values[count++] = static_cast<uint32_t>((root - std::floor(root)) * 4294967296.0L);
    }
    return values;
  }();
  return constants;
}

}  // namespace

void BlockDigest::add(std::string_view bytes) {
  length_ += bytes.size();
  if (!rest_.empty()) {
    const size_t missing = std::min(block_bytes - rest_.size(), bytes.size());
    rest_ += bytes.substr(0, missing);
    bytes.remove_prefix(missing);
    if (rest_.size() < block_bytes) return;
    take(reinterpret_cast<const unsigned char*>(rest_.data()));
    rest_.clear();
  }
  for (; bytes.size() >= block_bytes; bytes.remove_prefix(block_bytes)) {
    take(reinterpret_cast<const unsigned char*>(bytes.data()));
  }
  rest_ = bytes;
}

std::string BlockDigest::finish() {
  const uint64_t bits = length_ * 8;
  std::string end = "\x80";
  end.append((block_bytes + 56 - (length_ + 1) % block_bytes) % block_bytes, '\0');
  for (int i = 0; i < 8; ++i) end += static_cast<char>(bits >> 8 * (big_endian_ ? 7 - i : i));
  add(end);
  return result();
}

std::string BlockDigest::words_text(const uint32_t* words, int count) const {
  std::string text;
  for (int word = 0; word < count; ++word) {
    for (int i = 0; i < 4; ++i) text += static_cast<char>(words[word] >> 8 * (big_endian_ ? 3 - i : i));
  }
  return text;
}

uint32_t BlockDigest::word_at(const unsigned char* bytes) const {
  uint32_t word = 0;
  for (int i = 0; i < 4; ++i) word |= static_cast<uint32_t>(bytes[i]) << 8 * (big_endian_ ? 3 - i : i);
  return word;
}

void Md5::take(const unsigned char* block) {
  constexpr std::array<int, 16> turns{7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21};
  auto [a, b, c, d] = state_;
  for (uint32_t i = 0; i < 64; ++i) {
    const uint32_t round = i / 16;
    const uint32_t mixed = round == 0   ? (b & c) | (~b & d)
                           : round == 1 ? (d & b) | (~d & c)
                           : round == 2 ? b ^ c ^ d
                                        : c ^ (b | ~d);
    const uint32_t place = round == 0 ? i : round == 1 ? 5 * i + 1 : round == 2 ? 3 * i + 5 : 7 * i;
    const uint32_t sum = a + mixed + md5_constants()[i] + word_at(block + size_t{4} * (place % 16));
    a = d;
    d = c;
    c = b;
    b += std::rotl(sum, turns[4 * round + i % 4]);
  }
  state_ = {state_[0] + a, state_[1] + b, state_[2] + c, state_[3] + d};
}

void Sha256::take(const unsigned char* block) {
  std::array<uint32_t, 64> words{};
  for (size_t i = 0; i < 16; ++i) words[i] = word_at(block + 4 * i);
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t far = words[i - 15];
    const uint32_t near = words[i - 2];
    words[i] = words[i - 16] + words[i - 7] + (std::rotr(far, 7) ^ std::rotr(far, 18) ^ far >> 3) +
               (std::rotr(near, 17) ^ std::rotr(near, 19) ^ near >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t one = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) +
                         sha256_constants()[i] + words[i];
    const uint32_t two = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + one;
    d = c;
    c = b;
    b = a;
    a = one + two;
  }
  const std::array<uint32_t, 8> now{a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) state_[i] += now[i];
}

std::string hex_text(std::string_view bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace athanor::track
