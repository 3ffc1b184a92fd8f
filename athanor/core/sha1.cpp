// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/sha1.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace athanor {
namespace {

constexpr std::size_t sha1_block = 64;
using Sha1State = std::array<std::uint32_t, 5>;

void sha1_add(Sha1State& state, const std::byte* block) {
  std::array<std::uint32_t, 80> words{};
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 4; ++j) words[i] = words[i] << 8 | std::to_integer<std::uint32_t>(block[i * 4 + j]);
  }
  for (std::size_t i = 16; i < 80; ++i) {
    words[i] = std::rotl(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
  }
  auto [a, b, c, d, e] = state;
  for (std::size_t i = 0; i < 80; ++i) {
    std::uint32_t mixed = 0;
    if (i < 20) {
      mixed = ((b & c) | (~b & d)) + 0x5A827999;
    } else if (i < 40) {
      mixed = (b ^ c ^ d) + 0x6ED9EBA1;
    } else if (i < 60) {
      mixed = ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC;
    } else {
      mixed = (b ^ c ^ d) + 0xCA62C1D6;
    }
    mixed += std::rotl(a, 5) + e + words[i];
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = mixed;
  }
  state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d, state[4] + e};
}

}  // namespace

std::string sha1_text(std::span<const std::byte> bytes) {
  Sha1State state{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  std::size_t begin = 0;
  for (; begin + sha1_block <= bytes.size(); begin += sha1_block) sha1_add(state, bytes.data() + begin);
  std::vector<std::byte> rest(bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.end());
  rest.push_back(std::byte{0x80});
  while (rest.size() % sha1_block != sha1_block - 8) rest.push_back(std::byte{0});
  const std::uint64_t bits = std::uint64_t{bytes.size()} * 8;
  for (int shift = 56; shift >= 0; shift -= 8) rest.push_back(static_cast<std::byte>(bits >> shift));
  for (std::size_t i = 0; i < rest.size(); i += sha1_block) sha1_add(state, rest.data() + i);

  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (const std::uint32_t word : state) {
    for (int shift = 28; shift >= 0; shift -= 4) text += digits[word >> shift & 15];
  }
  return text;
}

}  // namespace athanor
