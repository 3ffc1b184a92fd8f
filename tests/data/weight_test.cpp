// SPDX-License-Identifier: Apache-2.0
// Sample weights: what is refused, and the way from tensors and samples through slices and threads into batches.
#include <ATen/ops/complex.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "athanor/data/concatenate.hpp"
#include "athanor/data/data.hpp"
#include "tests/core/error_of.hpp"
#include "tests/data/sources.hpp"

namespace athanor::weight_test {
namespace {

using ::testing::ElementsAre;

std::vector<double> reals_in(const at::Tensor& tensor) {
  const at::Tensor numbers = tensor.to(at::kDouble).contiguous();
  const auto* first = static_cast<const double*>(numbers.const_data_ptr());
  return {first, first + numbers.numel()};
}

Batch batch_of(const Dataset& dataset, const std::vector<int64_t>& indices) {
  Batch batch;
  dataset.batch(indices, {}, batch);
  return batch;
}

/// Sample i weighs i / 2.
Dataset weighted_rows(int64_t count) {
  return Dataset(at::arange(count), at::arange(count), at::arange(count).to(at::kFloat) / 2);
}

struct WeightedSource {
  int64_t count;
  [[nodiscard]] int64_t size() const { return count; }
  [[nodiscard]] Sample get(int64_t index) const {
    Sample sample{index, index};
    if (index % 3 != 0) sample.weight = static_cast<double>(index) / 2;
    return sample;
  }
};

TEST(WeightTest, WeightsOfAnotherLengthOrShapeAreRefused) {
  const auto longer = error_of([] { Dataset(at::zeros({3, 2}), at::zeros({3}), at::ones({4})); });
  EXPECT_EQ(longer.what, "the sample weights do not fit the data");
  EXPECT_EQ(longer.where, "weight");
  EXPECT_EQ(longer.got, "float32 (4)");
  EXPECT_EQ(longer.expected, "one weight for each sample, (3)");
  EXPECT_EQ(error_of([] { Data(at::zeros({3}), at::zeros({3}), at::ones({3, 1})); }).got, "float32 (3, 1)");
  EXPECT_EQ(error_of([] { Data(at::zeros({1}), at::zeros({1}), at::ones({})); }).got, "float32 ()");
  EXPECT_EQ(error_of([] { Data(at::zeros({1}), at::zeros({1}), at::complex(at::ones({1}), at::ones({1}))); }).what,
            "the sample weights are not real numbers");
}

TEST(WeightTest, ImpossibleWeightsAreRefusedWithTheirSample) {
  for (const auto& [bad, shown] : std::vector<std::pair<double, std::string>>{
           {-0.5, "-0.5"}, {std::nan(""), "nan"}, {HUGE_VAL, "inf"}, {-HUGE_VAL, "-inf"}}) {
    for (auto dtype : {at::kFloat, at::kDouble, at::kHalf}) {
      at::Tensor weight = at::ones({5}, dtype);
      weight[2].fill_(bad);
      weight[4].fill_(bad);
      const auto parts = error_of([&] { Dataset(at::zeros({5}), at::zeros({5}), weight); });
      EXPECT_EQ(parts.what, "a sample has an impossible weight");
      EXPECT_EQ(parts.where, "weight of sample 2");
      EXPECT_EQ(parts.got.substr(0, shown.size()), shown);
      EXPECT_EQ(parts.expected, "a finite number, 0 or more");
    }
    const std::vector<Sample> samples{{1.0, {}, 1.0}, {1.0}, {1.0, {}, bad}};
    const std::vector<int64_t> names{7, 8, 9};
    const auto parts = error_of([&] { return collate(samples, names); });
    EXPECT_EQ(parts.what, "a sample has an impossible weight");
    EXPECT_EQ(parts.where, "weight of sample 9");
    EXPECT_EQ(parts.got.substr(0, shown.size()), shown);
  }
}

struct OwnWeights {
  at::Tensor weight;
  [[nodiscard]] int64_t size() const { return 4; }
  [[nodiscard]] Batch batch(std::span<const int64_t> indices) const {
    return {.input = Tree(at::zeros({static_cast<int64_t>(indices.size())})),
            .target = {},
            .weight = weight,
            .indices = {}};
  }
};

TEST(WeightTest, WeightsOfABatchThatDoNotFitItAreRefused) {
  const auto parts = error_of([] { batch_of(OwnWeights{at::ones({3})}, {0, 1}); });
  EXPECT_EQ(parts.what, "the weights of a batch do not fit its samples");
  EXPECT_EQ(parts.got, "float32 (3)");
  EXPECT_EQ(parts.expected, "one weight for each sample, (2)");
  EXPECT_EQ(error_of([] { batch_of(OwnWeights{at::ones({2, 1})}, {0, 1}); }).got, "float32 (2, 1)");
  EXPECT_EQ(error_of([] { batch_of(OwnWeights{at::Tensor()}, {0, 1}); }).got, "undefined");
  const Loader loader(OwnWeights{at::ones({3})}, {.batch_size = 3});
  Pass pass = loader.epoch(1);
  EXPECT_TRUE(pass.next()->weight.has_value());
  EXPECT_EQ(error_of([&] { pass.next(); }).where, "batch 2, samples 3");
}

TEST(WeightTest, ABatchHasTheWeightsOfItsSamples) {
  for (const Dataset& dataset :
       {weighted_rows(10), Dataset(at::arange(12), at::arange(12), at::arange(12) / 2.0).slice(0, 10)}) {
    const Batch batch = batch_of(dataset, {7, 0, 7, 9});
    EXPECT_THAT(reals_in(*batch.weight), ElementsAre(3.5, 0, 3.5, 4.5));
    EXPECT_EQ(batch.weight->scalar_type(), at::kFloat);
  }
  EXPECT_THAT(reals_in(*batch_of(WeightedSource{10}, {3, 1, 5}).weight), ElementsAre(1, 0.5, 2.5));
  EXPECT_EQ(batch_of(WeightedSource{10}, {3, 1, 5}).weight->scalar_type(), at::kFloat);
  EXPECT_FALSE(batch_of(WeightedSource{10}, {3, 6}).weight.has_value());
  EXPECT_FALSE(batch_of(Dataset(at::arange(3), at::arange(3), at::Tensor()), {1}).weight.has_value());
}

TEST(WeightTest, FloatAndDoubleAreKeptAndOthersBecomeFloat) {
  auto dtype_of = [](const at::Tensor& weight) {
    return batch_of(Dataset(at::zeros({2}), {}, weight), {0}).weight->scalar_type();
  };
  EXPECT_EQ(dtype_of(at::ones({2}, at::kFloat)), at::kFloat);
  EXPECT_EQ(dtype_of(at::ones({2}, at::kDouble)), at::kDouble);
  EXPECT_EQ(dtype_of(at::ones({2}, at::kLong)), at::kFloat);
  EXPECT_EQ(dtype_of(at::ones({2}, at::kBool)), at::kFloat);
  EXPECT_EQ(dtype_of(at::ones({2}, at::kHalf)), at::kFloat);
  EXPECT_FALSE(batch_of(Dataset(at::zeros({2}), {}, at::ones({2}).requires_grad_()), {0}).weight->requires_grad());
}

TEST(WeightTest, SlicesAndSplitsCutTheWeights) {
  EXPECT_THAT(reals_in(*batch_of(weighted_rows(10).slice(2, 9).slice(1, 4), {2, 0}).weight), ElementsAre(2.5, 1.5));
  const Data data(at::arange(10), at::arange(10), at::arange(10));
  const auto [rest, cut] = data.split(0.2);
  EXPECT_THAT(reals_in(*batch_of(cut.dataset(), {0, 1}).weight), ElementsAre(8, 9));
  EXPECT_THAT(reals_in(*batch_of(rest.dataset(), {7}).weight), ElementsAre(7));
  EXPECT_THAT(reals_in(*batch_of(Dataset(WeightedSource{10}).slice(4, 8), {0, 1}).weight), ElementsAre(2, 2.5));
}

TEST(WeightTest, TheWeightsStayWithTheirSamplesForAnyNumberOfThreads) {
  for (int workers : {0, 2}) {
    std::set<const void*> addresses;
    const Loader loader(weighted_rows(400), {.batch_size = 8, .shuffle = true, .workers = workers});
    Pass pass = loader.epoch(1);
    int batches = 0;
    for (const Batch& batch : pass) {
      ++batches;
      addresses.insert(batch.weight->data_ptr());
      EXPECT_TRUE(at::equal(*batch.weight, batch.target.tensor().to(at::kFloat) / 2));
    }
    EXPECT_EQ(batches, 50);
    EXPECT_LE(addresses.size(), static_cast<size_t>(workers) * 2 + 1);  // written over, a slot each
    Pass samples = Loader(WeightedSource{30}, {.batch_size = 4, .shuffle = true, .workers = workers}).epoch(1);
    for (const Batch& batch : samples) {
      if (!batch.weight) continue;
      const std::vector<double> weights = reals_in(*batch.weight);
      const std::vector<int64_t> numbers = numbers_in(batch.target.tensor());
      for (size_t i = 0; i < numbers.size(); ++i) {
        EXPECT_EQ(weights[i], numbers[i] % 3 == 0 ? 1 : static_cast<double>(numbers[i]) / 2);
      }
    }
  }
}

TEST(WeightTest, WeightsThatSomebodyHoldsAreNotWrittenOver) {
  const Loader loader(weighted_rows(40), {.batch_size = 4});
  Pass pass = loader.epoch(1);
  const at::Tensor held = *pass.next()->weight;
  while (pass.next() != nullptr) {
  }
  EXPECT_THAT(reals_in(held), ElementsAre(0, 0.5, 1, 1.5));
}

TEST(WeightTest, ConcatenatingIsTheInverseOfSlicing) {
  Batch batch = batch_of(weighted_rows(10), {7, 0, 7, 9, 4});
  batch.samples = 23;
  batch.part = 2;
  const Batch joined = concatenate_batches({batch.slice(0, 2), batch.slice(2, 3), batch.slice(3, 5)});
  EXPECT_TRUE(at::equal(joined.input.tensor(), batch.input.tensor()));
  EXPECT_TRUE(at::equal(joined.target.tensor(), batch.target.tensor()));
  EXPECT_TRUE(at::equal(*joined.weight, *batch.weight));
  EXPECT_TRUE(at::equal(joined.indices, batch.indices));
  EXPECT_EQ(joined.samples, 23);
  EXPECT_EQ(joined.part, 2);
}

TEST(WeightTest, ABatchWithoutWeightsIsJoinedAsOnes) {
  Batch plain = Batch::from_list({at::zeros({2, 3}), at::zeros({2})});
  Batch weighted = Batch::from_list({at::zeros({1, 3}), at::zeros({1})});
  EXPECT_FALSE(concatenate_batches({plain, weighted}).weight.has_value());
  EXPECT_FALSE(concatenate_batches({plain, weighted}).indices.defined());
  weighted.weight = at::full({1}, 5, at::kDouble);
  const Batch joined = concatenate_batches({plain, weighted});
  EXPECT_THAT(reals_in(*joined.weight), ElementsAre(1, 1, 5));
  EXPECT_EQ(joined.weight->scalar_type(), at::kDouble);
  EXPECT_EQ(joined.samples, 3);
  EXPECT_TRUE(concatenate_batches({}).input.empty());
  EXPECT_EQ(error_of([&] {
              return concatenate_batches({plain, Batch::from_list({at::zeros({2, 3})})});
            }).what,
            "two batches differ in structure");
}

}  // namespace
}  // namespace athanor::weight_test
