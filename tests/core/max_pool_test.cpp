// SPDX-License-Identifier: Apache-2.0
// Max pooling of a plane: equal bit for bit to a search window by window, nothing read or written outside.
#include "athanor/core/max_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#if defined(__unix__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace athanor::max_pool_test {
namespace {

using Pool = void (*)(const float*, float*, int64_t*, int64_t, int64_t) noexcept;

struct Pooled {
  std::vector<uint32_t> bits;
  std::vector<int64_t> indices;
  bool operator==(const Pooled&) const = default;
};

/// LibTorch's search: begins at minus infinity and the window's first value, goes on to what is larger or NaN.
Pooled by_search(const std::vector<float>& plane, int64_t height, int64_t width) {
  Pooled result;
  for (int64_t i = 0; i < height / 2; ++i) {
    for (int64_t j = 0; j < width / 2; ++j) {
      float largest = -std::numeric_limits<float>::infinity();
      int64_t index = 2 * i * width + 2 * j;
      for (const int64_t at : {index, index + 1, index + width, index + width + 1}) {
        const float value = plane[static_cast<std::size_t>(at)];
        if (value > largest || std::isnan(value)) {
          largest = value;
          index = at;
        }
      }
      result.bits.push_back(std::bit_cast<uint32_t>(largest));
      result.indices.push_back(index);
    }
  }
  return result;
}

/// Fails the test when anything behind the result was written.
Pooled by(Pool pool, const float* plane, int64_t height, int64_t width) {
  constexpr std::size_t behind = 16;
  constexpr int64_t untouched = -7;
  const auto count = static_cast<std::size_t>((height / 2) * (width / 2));
  std::vector<float> values(count + behind, untouched);
  Pooled result;
  result.indices.assign(count + behind, untouched);
  pool(plane, values.data(), result.indices.data(), height, width);
  for (std::size_t i = count; i < count + behind; ++i) {
    EXPECT_EQ(values[i], untouched);
    EXPECT_EQ(result.indices[i], untouched);
  }
  result.indices.resize(count);
  for (std::size_t i = 0; i < count; ++i) result.bits.push_back(std::bit_cast<uint32_t>(values[i]));
  return result;
}

Pooled by(Pool pool, const std::vector<float>& plane, int64_t height, int64_t width) {
  return by(pool, plane.data(), height, width);
}

const std::vector<float>& special_values() {
  static const std::vector<float> values = {0.0F,
                                            -0.0F,
                                            1.0F,
                                            -1.0F,
                                            std::numeric_limits<float>::infinity(),
                                            -std::numeric_limits<float>::infinity(),
                                            std::numeric_limits<float>::max(),
                                            std::numeric_limits<float>::lowest(),
                                            std::numeric_limits<float>::denorm_min(),
                                            -std::numeric_limits<float>::denorm_min(),
                                            std::bit_cast<float>(0x7fc00001U),   // quiet NaN with a payload
                                            std::bit_cast<float>(0xffc12345U),   // negative quiet NaN
                                            std::bit_cast<float>(0x7f800001U)};  // signalling NaN
  return values;
}

struct Variant {
  const char* name;
  Pool pool;
};

class MaxPoolTest : public ::testing::TestWithParam<Variant> {};

TEST_P(MaxPoolTest, EveryWindowOfSpecialValues) {
  const std::vector<float>& values = special_values();
  // A row of windows as wide as each of the paths: value by value, four, eight.
  for (const int64_t windows : {1, 5, 11}) {
    const int64_t width = 2 * windows;
    std::vector<float> plane(static_cast<std::size_t>(2 * width));
    for (const float a : values) {
      for (const float b : values) {
        for (const float c : values) {
          for (const float d : values) {
            for (int64_t j = 0; j < windows; ++j) {
              const auto at = static_cast<std::size_t>(2 * j), below = static_cast<std::size_t>(2 * j + width);
              plane[at] = a;
              plane[at + 1] = b;
              plane[below] = c;
              plane[below + 1] = d;
            }
            ASSERT_EQ(by(GetParam().pool, plane, 2, width), by_search(plane, 2, width))
                << a << ' ' << b << ' ' << c << ' ' << d << ", " << windows << " windows";
          }
        }
      }
    }
  }
}

TEST_P(MaxPoolTest, EverySizeWithRandomValues) {
  std::mt19937 random(1);
  for (int64_t height = 0; height <= 9; ++height) {
    for (int64_t width = 0; width <= 70; ++width) {
      for (int kind = 0; kind < 3; ++kind) {
        std::vector<float> plane(static_cast<std::size_t>(height * width));
        for (float& value : plane) {
          if (kind == 0) {
            value = std::uniform_real_distribution<float>(-1, 1)(random);
          } else if (kind == 1) {
            value = static_cast<float>(random() % 3);  // ties
          } else {
            value = special_values()[random() % special_values().size()];
          }
        }
        ASSERT_EQ(by(GetParam().pool, plane, height, width), by_search(plane, height, width))
            << height << " x " << width << ", kind " << kind;
      }
    }
  }
}

TEST_P(MaxPoolTest, AnyBitsAtAll) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> plane(28 * 28);
    for (float& value : plane) value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    ASSERT_EQ(by(GetParam().pool, plane, 28, 28), by_search(plane, 28, 28));
  }
}

#if defined(__unix__)
TEST_P(MaxPoolTest, ReadsNothingOutsideOfThePlane) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* pages = ::mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  auto* middle = static_cast<std::byte*>(pages) + page;
  ASSERT_EQ(::mprotect(middle, page, PROT_READ | PROT_WRITE), 0);
  for (int64_t height = 2; height <= 5; ++height) {
    for (int64_t width = 2; width <= 50; ++width) {
      const auto count = static_cast<std::size_t>(height * width);
      std::vector<float> plane(count);
      for (std::size_t i = 0; i < count; ++i) plane[i] = static_cast<float>(i * 7919 % 101);
      const Pooled expected = by_search(plane, height, width);
      auto* first = reinterpret_cast<float*>(middle);
      auto* last = reinterpret_cast<float*>(middle + page) - count;
      for (float* where : {first, last}) {
        std::copy(plane.begin(), plane.end(), where);
        ASSERT_EQ(by(GetParam().pool, where, height, width), expected) << height << " x " << width;
      }
    }
  }
  ::munmap(pages, 3 * page);
}
#endif

INSTANTIATE_TEST_SUITE_P(Variants, MaxPoolTest,
                         ::testing::Values(Variant{"chosen", &max_pool_2x2},
                                           Variant{"portable", &max_pool_2x2_portable}),
                         [](const auto& variant) { return std::string(variant.param.name); });

}  // namespace
}  // namespace athanor::max_pool_test
