// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/random.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace athanor {

std::array<uint32_t, 4> Philox::block(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t second = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(second),
               static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(first)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

uint32_t Philox::operator()() noexcept {
  if (used_ == 4) {
    words_ = block({static_cast<uint32_t>(blocks_), static_cast<uint32_t>(blocks_ >> 32), 0, 0},
                   {static_cast<uint32_t>(key_), static_cast<uint32_t>(key_ >> 32)});
    ++blocks_;
    used_ = 0;
  }
  return words_[used_++];
}

double Philox::uniform() noexcept {
  const uint64_t high = (*this)();
  const uint64_t low = (*this)();
  return static_cast<double>(((high << 32) | low) >> 11) * 0x1.0p-53;
}

double Philox::normal() noexcept {
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

uint64_t Philox::below(uint64_t bound) noexcept {
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  for (;;) {
    const uint64_t high = (*this)();
    const uint64_t word = (high << 32) | (*this)();
    if (word < limit) return word % bound;
  }
}

Permutation::Permutation(uint64_t size, uint64_t key) noexcept : size_(size) {
  // Halves of fewer than four bits leave too few different permutations: some orders would come much more often.
  constexpr int least_bits = 8;
  const int bits = std::max(least_bits, static_cast<int>(std::bit_width(size > 0 ? size - 1 : 0)));
  low_bits_ = bits / 2;
  high_bits_ = bits - low_bits_;
  for (int round = 0; round < rounds; ++round) keys_[round] = mix({key, static_cast<uint64_t>(round)});
}

uint64_t Permutation::operator()(uint64_t index) const noexcept {
  const uint64_t low_mask = (uint64_t{1} << low_bits_) - 1;
  const uint64_t high_mask = (uint64_t{1} << high_bits_) - 1;
  auto hash = [](uint64_t value, uint64_t key) {
    value = (value ^ key) * 0xff51afd7ed558ccdull;
    value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53ull;
    return value ^ (value >> 33);
  };
  do {
    uint64_t low = index & low_mask;
    uint64_t high = index >> low_bits_;
    for (int round = 0; round < rounds; round += 2) {
      high ^= hash(low, keys_[round]) & high_mask;
      low ^= hash(high, keys_[round + 1]) & low_mask;
    }
    index = (high << low_bits_) | low;
  } while (index >= size_);
  return index;
}

}  // namespace athanor
