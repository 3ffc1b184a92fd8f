// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/unit_flags.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace athanor::unit_flags_test {
namespace {

/// -1, 0 and 1, among which many a unit is 0 throughout.
at::Tensor few_values(at::IntArrayRef sizes) {
  const at::Tensor values = at::randint(-1, 2, sizes, at::kFloat);
  return values * at::randint(0, 2, sizes, at::kFloat) * at::randint(0, 2, sizes, at::kFloat);
}

TEST(UnitFlags, LoopsAndOperatorsAgreeInAnyShapeAndDimension) {
  int set = 0, unset = 0;
  for (const std::vector<int64_t>& sizes : std::vector<std::vector<int64_t>>{
           {}, {1}, {5}, {1, 4}, {3, 1}, {2, 7}, {40, 3}, {1, 6, 2, 2}, {2, 5, 1, 1}, {2, 3, 1, 4}, {3, 2, 2, 1, 2}}) {
    for (int64_t dimension = 0; dimension < std::max<int64_t>(1, static_cast<int64_t>(sizes.size())); ++dimension) {
      SCOPED_TRACE("dimension " + std::to_string(dimension) + " of " + std::to_string(sizes.size()));
      const at::Tensor values = few_values(sizes);
      const at::Tensor wide = values.to(at::kDouble);  // which operators look at
      const at::Tensor zero = always_zero(values, dimension), away = always_away(values, dimension, 0.5, 0.5);
      EXPECT_TRUE(at::equal(zero, always_zero(wide, dimension)));
      EXPECT_TRUE(at::equal(away, always_away(wide, dimension, 0.5, 0.5)));
      EXPECT_EQ(count_set(zero), zero.sum().item<int64_t>());
      set += static_cast<int>(count_set(zero));
      unset += static_cast<int>(zero.numel() - count_set(zero));
    }
  }
  EXPECT_GT(set, 10);
  EXPECT_GT(unset, 10);
}

TEST(UnitFlags, LayoutsOtherThanRowsAreLookedAtToo) {
  const at::Tensor values = at::tensor({0.F, 1.F, 0.F, 0.F, 2.F, 0.F}).view({2, 3});
  EXPECT_TRUE(at::equal(always_zero(values.t(), 0), always_zero(values, 1)));
  EXPECT_EQ(count_set(always_zero(values, 1)), 2);
  EXPECT_EQ(count_set(always_zero(values, 0)), 0);
}

TEST(UnitFlags, NotANumberIsNeitherZeroNorAway) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor values = at::tensor({nan, 0.F, nan, 0.F}).view({2, 2});
  EXPECT_EQ(count_set(always_zero(values, 1)), 1);
  EXPECT_EQ(count_set(always_away(values, 1, 1, 0.5)), 1);
}

TEST(UnitFlags, TheEndsOfTheRangeCount) {
  const at::Tensor values = at::tensor({0.99F, -0.99F, 0.98F}).view({1, 3});
  EXPECT_EQ(count_set(always_away(values, 1, 0, 0.99)), 2);
}

TEST(UnitFlags, NothingIsAllOfIt) { EXPECT_EQ(count_set(always_zero(at::empty({0, 3}), 1)), 3); }

}  // namespace
}  // namespace athanor::unit_flags_test
