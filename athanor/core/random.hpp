// SPDX-License-Identifier: Apache-2.0
// Counted randomness: every number is a function of a key, so it does not depend on what was drawn before.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "athanor/core/owned.hpp"

namespace athanor {

/// One word out of several, each bit depending on each bit (the finalizer of SplitMix64, chained). Use it to derive
/// keys: `mix({seed, epoch, sample})`.
[[nodiscard]] constexpr uint64_t mix(std::initializer_list<uint64_t> words) noexcept {
  uint64_t state = 0x9e3779b97f4a7c15ull;
  for (uint64_t word : words) {
    state ^= word;
    state += 0x9e3779b97f4a7c15ull;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ull;
    state = (state ^ (state >> 27)) * 0x94d049bb133111ebull;
    state ^= state >> 31;
  }
  return state;
}

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): ten rounds over a counter of
/// 128 bits with a key of 64. The stream is a pure function of the key; copying it copies the position.
class Philox {
 public:
  using result_type = uint32_t;
  explicit Philox(uint64_t key) noexcept : key_(key) {}
  static constexpr uint32_t min() noexcept { return 0; }
  static constexpr uint32_t max() noexcept { return 0xffffffffu; }

  uint32_t operator()() noexcept;
  /// Uniform in [0, 1), 53 bits.
  double uniform() noexcept;
  /// Standard normal (Box-Muller).
  double normal() noexcept;
  /// Uniform in [0, bound), without bias. bound > 0.
  uint64_t below(uint64_t bound) noexcept;

  /// The ten rounds themselves, for known-answer tests.
  static std::array<uint32_t, 4> block(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) noexcept;

 private:
  uint64_t key_;
  uint64_t blocks_ = 0;
  int used_ = 4;
  std::array<uint32_t, 4> words_{};
};

/// A keyed permutation of 0 … size-1: a Feistel network on the bits of the index, walked along its cycle until it
/// falls into the range. Needs no array, and place n of epoch e is found in O(1), so resuming in mid-epoch is free.
class Permutation {
 public:
  Permutation(uint64_t size, uint64_t key) noexcept;
  [[nodiscard]] uint64_t size() const noexcept { return size_; }
  /// Where `index` goes; index < size().
  [[nodiscard]] uint64_t operator()(uint64_t index) const noexcept;

 private:
  static constexpr int rounds = 6;
  uint64_t size_;
  int low_bits_;
  int high_bits_;
  std::array<uint64_t, rounds> keys_;
};

/// Reseeds LibTorch's default generators (CPU and, where there is one, CUDA). Half a microsecond. Everything random
/// inside a step (dropout, `torch::rand`) draws from them. On the CPU other numbers come than from
/// `torch::manual_seed`, which takes 32 bits of its seed; here all 64 count.
void seed_libtorch(uint64_t key);

/// Puts the host program's CPU generator back at the end of its life, so that training leaves no trace in it.
class HostGeneratorGuard {
 public:
  HostGeneratorGuard();
  ~HostGeneratorGuard();
  HostGeneratorGuard(const HostGeneratorGuard&) = delete;
  HostGeneratorGuard& operator=(const HostGeneratorGuard&) = delete;

 private:
  struct Saved;
  Owned<Saved> saved_;
};

}  // namespace athanor
