// SPDX-License-Identifier: Apache-2.0
// Counted randomness: known answers, distributions, permutations that are permutations, and LibTorch's generator.
#include "athanor/core/random.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randperm.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace athanor::random_test {
namespace {

using Words = std::array<uint32_t, 4>;

/// The sum of squared deviations from equal counts, over the expected count: close to the number of places.
double chi_square(const std::vector<int>& counts, int draws) {
  const double expected = static_cast<double>(draws) / static_cast<double>(counts.size());
  double sum = 0;
  for (int count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

/// Far above what chance gives for these degrees of freedom (more than six standard deviations).
double chi_square_limit(size_t places) {
  const auto freedom = static_cast<double>(places - 1);
  return freedom + 6 * std::sqrt(2 * freedom) + 10;
}

// The vectors of the authors' Random123 library (tests/kat_vectors, philox4x32 10).
TEST(PhiloxTest, GivesTheKnownAnswers) {
  EXPECT_EQ(Philox::block({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox::block({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox::block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, TheStreamIsTheBlocksInOrder) {
  const uint64_t key = 0x299f31d0a4093822;
  Philox random(key);
  for (uint32_t block = 0; block < 3; ++block) {
    for (uint32_t word : Philox::block({block, 0, 0, 0}, {0xa4093822, 0x299f31d0})) EXPECT_EQ(random(), word);
  }
}

TEST(PhiloxTest, TheKeyDecidesAndACopyKeepsThePosition) {
  Philox random(1);
  Philox other(2);
  Philox high(uint64_t{1} << 32 | 1);
  EXPECT_NE(random(), other());
  Philox copy = random;
  EXPECT_EQ(random(), copy());
  EXPECT_NE(Philox(1)(), high());
}

TEST(PhiloxTest, UniformNumbersFillTheUnitInterval) {
  Philox random(3);
  std::vector<int> counts(100);
  double sum = 0;
  constexpr int draws = 100000;
  for (int i = 0; i < draws; ++i) {
    const double value = random.uniform();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
    ++counts[static_cast<size_t>(value * 100)];
  }
  EXPECT_NEAR(sum / draws, 0.5, 0.006);
  EXPECT_LT(chi_square(counts, draws), chi_square_limit(100));
}

TEST(PhiloxTest, NormalNumbersHaveTheMomentsOfTheNormalDistribution) {
  Philox random(4);
  constexpr int draws = 100000;
  std::array<double, 5> moments{};
  for (int i = 0; i < draws; ++i) {
    const double value = random.normal();
    ASSERT_TRUE(std::isfinite(value));
    for (int power = 1; power <= 4; ++power) moments[power] += std::pow(value, power) / draws;
  }
  EXPECT_NEAR(moments[1], 0, 0.02);
  EXPECT_NEAR(moments[2], 1, 0.03);
  EXPECT_NEAR(moments[3], 0, 0.1);
  EXPECT_NEAR(moments[4], 3, 0.2);
}

TEST(PhiloxTest, BoundedNumbersReachEveryValueEqually) {
  for (uint64_t bound : {1, 2, 3, 7, 10, 64}) {
    Philox random(5);
    std::vector<int> counts(bound);
    for (int i = 0; i < 20000; ++i) {
      const uint64_t value = random.below(bound);
      ASSERT_LT(value, bound);
      ++counts[value];
    }
    EXPECT_LT(chi_square(counts, 20000), chi_square_limit(bound)) << bound;
  }
}

TEST(PhiloxTest, LargeBoundsAreWithoutBias) {
  // A plain remainder would fall into the lower third half as often again.
  const uint64_t bound = (UINT64_MAX / 3) * 2;
  Philox random(6);
  int low = 0;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t value = random.below(bound);
    ASSERT_LT(value, bound);
    low += value < bound / 2 ? 1 : 0;
  }
  EXPECT_NEAR(low, 10000, 430);
}

TEST(PhiloxTest, ServesAsAStandardGenerator) {
  Philox random(7);
  static_assert(std::uniform_random_bit_generator<Philox>);
  EXPECT_LT(std::uniform_int_distribution<int>(0, 9)(random), 10);
}

TEST(MixTest, EveryBitAndTheOrderOfWordsCount) {
  EXPECT_NE(mix({1, 2}), mix({2, 1}));
  EXPECT_NE(mix({0}), mix({0, 0}));
  EXPECT_NE(mix({}), mix({0}));
  double flipped = 0;
  for (int bit = 0; bit < 64; ++bit) flipped += std::popcount(mix({42, 7}) ^ mix({42 ^ (uint64_t{1} << bit), 7}));
  EXPECT_NEAR(flipped / 64, 32, 2);
  std::set<uint64_t> keys;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    for (uint64_t epoch = 0; epoch < 30; ++epoch) keys.insert(mix({seed, epoch}));
  }
  EXPECT_EQ(keys.size(), 900U);
}

void expect_bijection(uint64_t size, uint64_t key) {
  const Permutation permutation(size, key);
  EXPECT_EQ(permutation.size(), size);
  std::vector<bool> seen(size);
  for (uint64_t i = 0; i < size; ++i) {
    const uint64_t place = permutation(i);
    ASSERT_LT(place, size) << size;
    ASSERT_FALSE(seen[place]) << size << " reaches " << place << " twice";
    seen[place] = true;
  }
}

TEST(PermutationTest, ReachesEveryPlaceOnce) {
  for (uint64_t size = 1; size <= 300; ++size) {
    expect_bijection(size, 0);
    expect_bijection(size, size * 77);
  }
  for (uint64_t size : {4095, 4096, 4097, 60000, 65536, 65537, 1 << 18}) expect_bijection(size, 9);
}

TEST(PermutationTest, HugeRangesAreWalkedToo) {
  for (uint64_t size : {(uint64_t{1} << 40) + 1, (uint64_t{1} << 62) + 12345, UINT64_MAX}) {
    const Permutation permutation(size, 3);
    std::set<uint64_t> places;
    for (uint64_t i = 0; i < 1000; ++i) {
      places.insert(permutation(i));
      places.insert(permutation(size - 1 - i));
    }
    EXPECT_EQ(places.size(), 2000U);
    EXPECT_LT(*places.rbegin(), size);
  }
}

TEST(PermutationTest, TheKeyDecidesTheOrder) {
  const Permutation one(1000, 1);
  const Permutation same(1000, 1);
  const Permutation other(1000, 2);
  int kept = 0;
  int equal = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(one(i), same(i));
    kept += one(i) == i ? 1 : 0;
    equal += one(i) == other(i) ? 1 : 0;
  }
  EXPECT_LT(kept, 10);
  EXPECT_LT(equal, 10);
}

TEST(PermutationTest, EveryPlaceIsEquallyLikelyForEveryElement) {
  for (uint64_t size : {2, 3, 4, 5, 8, 10, 16, 64, 100, 256, 300}) {
    for (uint64_t index : {uint64_t{0}, uint64_t{1}, size - 1}) {
      std::vector<int> counts(size);
      constexpr int keys = 20000;
      for (int key = 0; key < keys; ++key) {
        ++counts[Permutation(size, mix({static_cast<uint64_t>(key), 11}))(index)];
      }
      EXPECT_LT(chi_square(counts, keys), chi_square_limit(size)) << "element " << index << " of " << size;
    }
  }
}

TEST(PermutationTest, NeighboursAreIndependent) {
  // Places of elements 0 and 1 out of 6: each of the 30 pairs equally often.
  std::vector<int> counts(36);
  constexpr int keys = 30000;
  for (int key = 0; key < keys; ++key) {
    const Permutation permutation(6, mix({static_cast<uint64_t>(key), 5}));
    ++counts[permutation(0) * 6 + permutation(1)];
  }
  std::vector<int> pairs;
  for (size_t i = 0; i < 36; ++i) {
    if (i % 7 == 0) {
      EXPECT_EQ(counts[i], 0);
    } else {
      pairs.push_back(counts[i]);
    }
  }
  EXPECT_LT(chi_square(pairs, keys), chi_square_limit(30));
}

TEST(SeedTest, EqualKeysGiveEqualTensorsWhateverWasDrawnBefore) {
  const HostGeneratorGuard guard;
  seed_libtorch(17);
  const at::Tensor first = at::randn({3});
  at::randn({100});
  seed_libtorch(17);
  EXPECT_TRUE(at::equal(at::randn({3}), first));
  seed_libtorch(18);
  EXPECT_FALSE(at::equal(at::randn({3}), first));
}

TEST(SeedTest, EveryBitOfTheKeyCounts) {
  const HostGeneratorGuard guard;
  std::set<int64_t> first_numbers;
  seed_libtorch(0);
  first_numbers.insert(at::randint(std::numeric_limits<int64_t>::max(), {1}).item<int64_t>());
  for (int bit = 0; bit < 64; ++bit) {
    seed_libtorch(uint64_t{1} << bit);
    EXPECT_EQ(at::detail::getDefaultCPUGenerator().current_seed(), uint64_t{1} << bit);
    first_numbers.insert(at::randint(std::numeric_limits<int64_t>::max(), {1}).item<int64_t>());
  }
  EXPECT_EQ(first_numbers.size(), 65);
}

TEST(SeedTest, NumbersAreUniformWithinAKeyAndOverKeys) {
  const HostGeneratorGuard guard;
  constexpr int keys = 4000, bins = 16;
  std::vector<int> within(bins), over(bins), pairs(bins * bins);
  int64_t before = 0;
  for (int key = 0; key < keys; ++key) {
    seed_libtorch(static_cast<uint64_t>(key));
    const at::Tensor drawn = at::randint(bins, {64});
    for (int64_t i = 0; i < drawn.numel(); ++i) ++within[static_cast<size_t>(drawn.const_data_ptr<int64_t>()[i])];
    const int64_t first = *drawn.const_data_ptr<int64_t>();
    ++over[static_cast<size_t>(first)];
    if (key > 0) ++pairs[static_cast<size_t>(before * bins + first)];
    before = first;
  }
  EXPECT_LT(chi_square(within, keys * 64), chi_square_limit(bins));
  EXPECT_LT(chi_square(over, keys), chi_square_limit(bins));
  EXPECT_LT(chi_square(pairs, keys - 1), chi_square_limit(bins * bins));
}

TEST(SeedTest, TheGuardPutsTheGeneratorBackInTheMiddleOfItsStream) {
  const HostGeneratorGuard outer;
  seed_libtorch(5);
  at::randn({1});  // leaves the second of a pair of normal numbers in the generator
  at::Tensor inside;
  {
    const HostGeneratorGuard guard;
    inside = at::randn({7});
    seed_libtorch(99);
    at::randperm(50);
  }
  EXPECT_TRUE(at::equal(at::randn({7}), inside));
}

}  // namespace
}  // namespace athanor::random_test
