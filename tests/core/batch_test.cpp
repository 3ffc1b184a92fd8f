// SPDX-License-Identifier: Apache-2.0
// Batches: the convention for lists, counting samples, slices, moving to a device.
#include "athanor/core/batch.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "tests/core/error_of.hpp"

namespace athanor::batch_test {
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

TEST(BatchTest, ASliceOutsideIsRefused) {
  const Batch batch = Batch::from_list({at::zeros({4, 2}), at::ones({4})});
  for (const auto& [first, last] : {std::pair<int64_t, int64_t>{-1, 3}, {3, 2}, {0, 5}}) {
    const auto parts = error_of([&] { return batch.slice(first, last); });
    EXPECT_EQ(parts.what, "a slice outside of its batch");
    EXPECT_EQ(parts.got, std::to_string(first) + " to " + std::to_string(last));
    EXPECT_EQ(parts.expected, "a range within 0 to 4");
  }
  EXPECT_EQ(error_of([] { return Batch().slice(0, 1); }).expected, "a range within 0 to 0");
}

TEST(BatchTest, ASliceCutsWhatHoldsSamplesAndCopiesNothing) {
  Batch batch;
  batch.input = {
      {"image", at::arange(12).reshape({4, 3})}, {"scale", at::ones({})}, {"grid", at::zeros({7, 4})}, {"n", 4}};
  batch.target = Tree::list({at::arange(4), at::Tensor()});
  batch.weight = at::arange(4);
  batch.indices = at::arange(4) + 20;
  batch.samples = 4;
  batch.part = 3;
  const Batch slice = batch.slice(1, 3);
  EXPECT_EQ(slice.input.describe(), "{image: int64 (2, 3), scale: float32 (), grid: float32 (7, 4), n: 4}");
  EXPECT_TRUE(slice.input["image"].tensor().is_alias_of(batch.input["image"].tensor()));
  EXPECT_EQ(slice.input["image"].tensor()[0][0].item<int64_t>(), 3);
  EXPECT_TRUE(slice.input["grid"].tensor().is_same(batch.input["grid"].tensor()));
  EXPECT_EQ(slice.target[0].tensor()[1].item<int64_t>(), 2);
  EXPECT_EQ((*slice.weight)[1].item<int64_t>(), 2);
  EXPECT_EQ(slice.indices[0].item<int64_t>(), 21);
  EXPECT_EQ(slice.indices.size(0), 2);
  EXPECT_EQ(slice.samples, 2);
  EXPECT_EQ(slice.part, 3);
  EXPECT_FALSE(Batch::from_list({at::zeros({4})}).slice(0, 2).weight.has_value());
  EXPECT_FALSE(Batch::from_list({at::zeros({4})}).slice(0, 2).indices.defined());
}

TEST(BatchTest, TheRowsOfASliceAreThoseOfTheIndicesOrWeightsWhereThereAreAny) {
  Batch graphs;
  graphs.input = {{"nodes", at::zeros({9, 3})}, {"graph", at::arange(2)}};
  graphs.indices = at::arange(2);
  EXPECT_EQ(graphs.slice(1, 2).input.describe(), "{nodes: float32 (9, 3), graph: int64 (1)}");
  graphs.indices = at::Tensor();
  graphs.weight = at::ones({2});
  EXPECT_EQ(graphs.slice(1, 2).input.describe(), "{nodes: float32 (9, 3), graph: int64 (1)}");
}

TEST(BatchTest, TheCountsOfTheSlicesAddUp) {
  for (int64_t rows : {1, 3, 7, 32}) {
    Batch batch = Batch::from_list({at::zeros({rows, 1})});
    for (int64_t told : {rows, int64_t{1}, int64_t{100}, rows * 13 + 5, INT64_MAX}) {
      batch.samples = told;
      for (int64_t step : {1, 2, 5}) {
        int64_t sum = 0;
        for (int64_t first = 0; first < rows; first += step) {
          const int64_t last = std::min(first + step, rows);
          const int64_t part = batch.slice(first, last).samples;
          // Each end is rounded down once, so a part is less than one away from its share.
          const double share =
              static_cast<double>(told) / static_cast<double>(rows) * static_cast<double>(last - first);
          EXPECT_NEAR(static_cast<double>(part), share, 1 + share * 1e-15);
          sum += part;
        }
        EXPECT_EQ(sum, told);
      }
    }
  }
  EXPECT_EQ(Batch().slice(0, 0).samples, 0);
}

TEST(BatchTest, MovingTakesEverythingAlongButTheIndices) {
  Batch batch = Batch::from_list({at::zeros({4, 2}), at::ones({4})});
  batch.weight = at::ones({4});
  batch.indices = at::arange(4);
  batch.samples = 17;
  batch.part = 2;
  const Batch moved = batch.to(at::kMeta);
  EXPECT_TRUE(moved.input.tensor().is_meta());
  EXPECT_TRUE(moved.target.tensor().is_meta());
  ASSERT_TRUE(moved.weight.has_value());
  EXPECT_TRUE(moved.weight->is_meta());
  EXPECT_TRUE(moved.indices.is_same(batch.indices));
  EXPECT_EQ(moved.samples, 17);
  EXPECT_EQ(moved.part, 2);
  EXPECT_FALSE(Batch{}.to(at::kMeta).weight.has_value());
  EXPECT_TRUE(batch.to(at::kCPU).weight->is_same(*batch.weight));
}

}  // namespace
}  // namespace athanor::batch_test
