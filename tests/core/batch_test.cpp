// SPDX-License-Identifier: Apache-2.0
// Batches: the convention for lists, counting samples, moving to a device.
#include "athanor/core/batch.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/core/error_of.hpp"

namespace athanor {
namespace {

TEST(BatchTest, AnEmptyListIsRefused) {
  const auto parts = error_of([] { static_cast<void>(Batch::from_list({})); });
  EXPECT_EQ(parts.what, "a batch is an empty list of tensors");
  EXPECT_EQ(parts.expected, "at least one tensor; the last of several is the target");
}

TEST(BatchTest, AListOfOneIsAnInputWithoutATarget) {
  const Batch batch = Batch::from_list({at::zeros({4, 2})});
  EXPECT_TRUE(batch.input.is_tensor());
  EXPECT_TRUE(batch.target.empty());
  EXPECT_EQ(batch.samples, 4);
}

TEST(BatchTest, TheLastOfSeveralIsTheTarget) {
  const Batch pair = Batch::from_list({at::zeros({4, 2}), at::ones({4})});
  EXPECT_EQ(pair.input.describe(), "float32 (4, 2)");
  EXPECT_EQ(pair.target.describe(), "float32 (4)");
  const Batch three = Batch::from_list({at::zeros({4, 2}), at::zeros({4, 3}), at::ones({4})});
  EXPECT_EQ(three.input.describe(), "[float32 (4, 2), float32 (4, 3)]");
  EXPECT_EQ(three.target.describe(), "float32 (4)");
}

TEST(BatchTest, SamplesAreCountedInTheFirstTensorThereIs) {
  EXPECT_EQ(count_samples({}), 0);
  EXPECT_EQ(count_samples({.input = Tree(at::zeros({})), .target = Tree(at::zeros({3}))}), 0);
  EXPECT_EQ(count_samples({.input = Tree(3), .target = Tree(at::zeros({3}))}), 3);
  EXPECT_EQ(count_samples({.input = {{"name", "x"}, {"image", at::zeros({5, 2})}}, .target = {}}), 5);
}

TEST(BatchTest, MovingTakesEverythingAlongButTheIndices) {
  Batch batch = Batch::from_list({at::zeros({4, 2}), at::ones({4})});
  batch.weight = at::ones({4});
  batch.indices = at::arange(4);
  batch.samples = 17;
  const Batch moved = batch.to(at::kMeta);
  EXPECT_TRUE(moved.input.tensor().is_meta());
  EXPECT_TRUE(moved.target.tensor().is_meta());
  ASSERT_TRUE(moved.weight.has_value());
  EXPECT_TRUE(moved.weight->is_meta());
  EXPECT_TRUE(moved.indices.is_same(batch.indices));
  EXPECT_EQ(moved.samples, 17);
  EXPECT_FALSE(Batch{}.to(at::kMeta).weight.has_value());
  EXPECT_TRUE(batch.to(at::kCPU).weight->is_same(*batch.weight));
}

}  // namespace
}  // namespace athanor
