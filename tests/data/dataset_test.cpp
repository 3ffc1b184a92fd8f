// SPDX-License-Identifier: Apache-2.0
// Data sets of tensors and of classes: lengths that differ, slices, sources by batch, by sample and by pointer.
#include "athanor/data/dataset.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/core/error_of.hpp"
#include "tests/data/sources.hpp"

namespace athanor::dataset_test {
namespace {

using ::testing::ElementsAre;

Batch batch_of(const Dataset& dataset, const std::vector<int64_t>& indices, uint64_t key = 0) {
  Batch batch;
  dataset.batch(indices, SampleRandom{key}, batch);
  return batch;
}

TEST(DatasetTest, LengthsThatDifferAreToldWithBothSides) {
  auto parts = error_of([] { Dataset(at::zeros({5, 2}), at::zeros({4})); });
  EXPECT_EQ(parts.what, "inputs and targets differ in length");
  EXPECT_EQ(parts.where, "target beside input");
  EXPECT_EQ(parts.got, "4 samples in float32 (4)");
  EXPECT_EQ(parts.expected, "5 samples, as in input");
  EXPECT_FALSE(parts.todo.empty());
  parts = error_of([] { Dataset(Tree{{"image", at::zeros({5})}, {"boxes", Tree::list({at::zeros({6})})}}); });
  EXPECT_EQ(parts.where, "input.boxes.0 beside input.image");
}

TEST(DatasetTest, SomethingElseThanTensorsWithSamplesIsRefused) {
  EXPECT_EQ(error_of([] { Dataset(at::zeros({})); }).got, "float32 ()");
  EXPECT_EQ(error_of([] { Dataset{Tree(at::Tensor())}; }).got, "undefined");
  const auto parts = error_of([] { Dataset(Tree{{"image", at::zeros({5})}, {"name", "x"}}); });
  EXPECT_EQ(parts.where, "input.name");
  EXPECT_EQ(parts.expected, "a tensor of at least one dimension");
  EXPECT_EQ(error_of([] { Dataset(Tree(), Tree()); }).what, "a data set of nothing");
}

TEST(DatasetTest, IndicesOutsideAreRefused) {
  for (const Dataset& dataset : {rows(4), Dataset(RowSource{4}), rows(9).slice(2, 6)}) {
    for (int64_t index : {4, -1}) {
      const auto parts = error_of([&] { batch_of(dataset, {0, index}); });
      EXPECT_EQ(parts.what, "a sample outside of its data set");
      EXPECT_EQ(parts.got, "sample " + std::to_string(index));
      EXPECT_EQ(parts.expected, "an index from 0 to below 4");
    }
  }
}

TEST(DatasetTest, NoDataAreToldWhenSomebodyAsksForThem) {
  EXPECT_FALSE(Dataset().defined());
  EXPECT_EQ(Dataset().size(), 0);
  EXPECT_EQ(Dataset().whole_target(), nullptr);
  EXPECT_EQ(error_of([] { batch_of(Dataset(), {}); }).what, "there are no data");
  EXPECT_EQ(error_of([] { static_cast<void>(Dataset().slice(0, 0)); }).what, "a slice outside of its data set");
}

TEST(DatasetTest, SlicesOutsideAreRefused) {
  for (const Dataset& dataset : {rows(10), Dataset(RowSource{10})}) {
    for (const auto& [first, last] : {std::pair<int64_t, int64_t>{-1, 3}, {5, 4}, {0, 11}}) {
      const auto parts = error_of([&] { static_cast<void>(dataset.slice(first, last)); });
      EXPECT_EQ(parts.got, std::to_string(first) + " to " + std::to_string(last));
      EXPECT_EQ(parts.expected, "a range within 0 to 10");
    }
  }
}

TEST(DatasetTest, AnEmptyBatchAndAnEmptyDataSetWork) {
  EXPECT_EQ(batch_of(rows(3), {}).input.describe(), "float32 (0, 3)");
  EXPECT_EQ(batch_of(rows(3).slice(1, 1), {}).input.describe(), "float32 (0, 3)");
  EXPECT_EQ(Dataset(at::zeros({0, 3})).size(), 0);
}

TEST(DatasetTest, ABatchHoldsTheSamplesThatWereAskedFor) {
  for (const Dataset& dataset : {rows(10), Dataset(RowSource{10})}) {
    const Batch batch = batch_of(dataset, {7, 0, 7, 9});
    EXPECT_THAT(numbers_in(batch.input.tensor().select(1, 2)), ElementsAre(7, 0, 7, 9));
    EXPECT_THAT(numbers_in(batch.target.tensor()), ElementsAre(7, 0, 7, 9));
    EXPECT_THAT(numbers_in(batch.indices), ElementsAre(7, 0, 7, 9));
    EXPECT_EQ(batch.samples, 4);
    EXPECT_EQ(batch.input.tensor().scalar_type(), at::kFloat);
    EXPECT_EQ(batch.target.tensor().scalar_type(), at::kLong);
  }
}

TEST(DatasetTest, SlicesNumberTheirOwnSamplesAndNest) {
  for (const Dataset& dataset : {rows(10), Dataset(RowSource{10})}) {
    const Dataset slice = dataset.slice(2, 9).slice(1, 4);
    EXPECT_EQ(slice.size(), 3);
    const Batch batch = batch_of(slice, {2, 0});
    EXPECT_THAT(numbers_in(batch.target.tensor()), ElementsAre(5, 3));
    EXPECT_THAT(numbers_in(batch.indices), ElementsAre(2, 0));
  }
}

TEST(DatasetTest, ASliceOfTensorsCopiesNothing) {
  const at::Tensor input = at::zeros({10, 2});
  const Dataset slice = Dataset(input, at::arange(10)).slice(4, 6);
  EXPECT_EQ(slice.whole_target()->tensor().size(0), 2);
  input.fill_(3);
  EXPECT_EQ(batch_of(slice, {0}).input.tensor().sum().item<float>(), 6);
}

TEST(DatasetTest, TheWholeTargetIsKnownForTensorsOnly) {
  EXPECT_EQ(rows(3).whole_target()->describe(), "int64 (3)");
  EXPECT_EQ(Dataset(RowSource{3}).whole_target(), nullptr);
}

TEST(DatasetTest, NestedInputsKeepTheirStructure) {
  const Dataset dataset(Tree{{"image", at::arange(8).reshape({4, 2})}, {"sizes", Tree::list({at::arange(4)})}},
                        Tree::list({at::arange(4), at::zeros({4, 0})}));
  const Batch batch = batch_of(dataset, {3, 1});
  EXPECT_EQ(batch.input.describe(), "{image: int64 (2, 2), sizes: [int64 (2)]}");
  EXPECT_EQ(batch.target.describe(), "[int64 (2), float32 (2, 0)]");
  EXPECT_THAT(numbers_in(batch.input["image"].tensor()), ElementsAre(6, 7, 2, 3));
  EXPECT_THAT(numbers_in(batch.input["sizes"][0].tensor()), ElementsAre(3, 1));
}

TEST(DatasetTest, SomethingFromAnotherDataSetIsNotLeftInTheBatch) {
  Batch batch;
  batch.weight = at::ones({2});
  batch.samples = 99;
  batch.input = Tree{{"old", at::zeros({2, 3})}, {"image", at::zeros({2, 3})}};
  batch.target = Tree(at::zeros({2}));
  const std::vector<int64_t> indices{1, 0};
  Dataset(Tree{{"image", at::arange(2)}}, Tree{{"label", at::arange(2)}}).batch(indices, {}, batch);
  EXPECT_EQ(batch.input.describe(), "{image: int64 (2)}");
  EXPECT_EQ(batch.target.describe(), "{label: int64 (2)}");
  EXPECT_FALSE(batch.weight.has_value());
  EXPECT_EQ(batch.samples, 2);
}

TEST(DatasetTest, ACopyOfTheHandleSharesTheSource) {
  const auto source = std::make_shared<RowSource>(RowSource{4});
  const Dataset dataset(source);
  const Dataset copy = dataset;
  source->count = 6;
  EXPECT_EQ(dataset.size(), 6);
  EXPECT_EQ(copy.size(), 6);
}

template <class T>
struct Gives {
  T value;
  [[nodiscard]] int64_t size() const { return 4; }
  [[nodiscard]] T get(int64_t) const { return value; }
};

TEST(DatasetTest, SamplesMayBeTensorsPairsTuplesListsAndNumbers) {
  const at::Tensor tensor = at::ones({2});
  auto describe = [](const Dataset& dataset) {
    const Batch batch = batch_of(dataset, {0, 1, 2});
    return batch.input.describe() + " -> " + batch.target.describe();
  };
  EXPECT_EQ(describe(Gives<at::Tensor>{tensor}), "float32 (3, 2) -> nothing");
  EXPECT_EQ(describe(Gives<std::pair<at::Tensor, at::Tensor>>{{tensor, at::ones({})}}),
            "float32 (3, 2) -> float32 (3)");
  EXPECT_EQ(describe(Gives<std::pair<at::Tensor, int64_t>>{{tensor, 3}}), "float32 (3, 2) -> int64 (3)");
  EXPECT_EQ(describe(Gives<std::pair<float, double>>{{1, 2}}), "float32 (3) -> float32 (3)");
  EXPECT_EQ(describe(Gives<std::tuple<at::Tensor, at::Tensor, bool>>{{tensor, tensor, true}}),
            "[float32 (3, 2), float32 (3, 2)] -> bool (3)");
  EXPECT_EQ(describe(Gives<std::tuple<at::Tensor, int>>{{tensor, 1}}), "float32 (3, 2) -> int64 (3)");
  EXPECT_EQ(describe(Gives<std::tuple<at::Tensor>>{{tensor}}), "float32 (3, 2) -> nothing");
  EXPECT_EQ(describe(Gives<std::vector<at::Tensor>>{{tensor, at::zeros({1})}}), "float32 (3, 2) -> float32 (3, 1)");
  EXPECT_EQ(describe(Gives<Sample>{{Tree{{"a", 1}}, Tree::list({0.5, tensor})}}),
            "{a: int64 (3)} -> [float32 (3), float32 (3, 2)]");
  EXPECT_EQ(error_of([&] { describe(Gives<std::vector<at::Tensor>>{{}}); }).what,
            "a sample is an empty list of tensors");
}

struct BatchSource {
  [[nodiscard]] int64_t size() const { return 8; }
  [[nodiscard]] Batch batch(std::span<const int64_t> indices) const {
    return {.input = Tree(at::full({static_cast<int64_t>(indices.size()), 5}, 1.0F)),
            .target = {},
            .weight = at::ones({static_cast<int64_t>(indices.size())}),
            .indices = {},
            .samples = tokens};
  }
  int64_t tokens = 0;
};
struct ListSource {
  [[nodiscard]] int64_t size() const { return 8; }
  [[nodiscard]] std::vector<at::Tensor> batch(std::span<const int64_t> indices) const {
    const auto count = static_cast<int64_t>(indices.size());
    return {at::zeros({count, 2}), at::zeros({count, 3}), at::zeros({count})};
  }
};
struct PairSource {
  [[nodiscard]] int64_t size() const { return 8; }
  [[nodiscard]] std::pair<at::Tensor, at::Tensor> batch(std::span<const int64_t> indices, SampleRandom random) const {
    const auto count = static_cast<int64_t>(indices.size());
    return {at::full({count}, random.of(indices[0]).uniform()), at::zeros({count})};
  }
};

TEST(DatasetTest, ASourceMayAnswerForAWholeBatch) {
  Batch batch = batch_of(BatchSource{}, {5, 6});
  EXPECT_EQ(batch.samples, 2);
  EXPECT_THAT(numbers_in(batch.indices), ElementsAre(5, 6));
  EXPECT_TRUE(batch.weight.has_value());
  EXPECT_EQ(batch_of(BatchSource{.tokens = 77}, {5, 6}).samples, 77);
  batch = batch_of(ListSource{}, {1, 2, 3});
  EXPECT_EQ(batch.input.describe() + batch.target.describe(), "[float32 (3, 2), float32 (3, 3)]float32 (3)");
  EXPECT_THAT(numbers_in(batch.indices), ElementsAre(1, 2, 3));
  EXPECT_EQ(batch_of(PairSource{}, {1, 2}).input.describe(), "float32 (2)");
  EXPECT_NE(batch_of(PairSource{}, {1}, 1).input.tensor().item<float>(),
            batch_of(PairSource{}, {1}, 2).input.tensor().item<float>());
}

struct Noisy {
  [[nodiscard]] int64_t size() const { return 8; }
  [[nodiscard]] double draw(Philox& random) const { return random.uniform(); }
  [[nodiscard]] std::pair<double, int64_t> get(int64_t index, Philox& random) const { return {draw(random), index}; }
};

TEST(DatasetTest, TheRandomNumbersOfASampleDependOnItAndTheKeyOnly) {
  const Dataset dataset = Noisy{};
  const at::Tensor together = batch_of(dataset, {0, 1, 2}, 5).input.tensor();
  EXPECT_TRUE(at::equal(batch_of(dataset, {2, 0}, 5).input.tensor(), at::stack({together[2], together[0]})));
  EXPECT_NE(together[0].item<float>(), together[1].item<float>());
  EXPECT_FALSE(at::equal(batch_of(dataset, {0, 1, 2}, 6).input.tensor(), together));
}

struct NeitherSizeNorGet {};
struct NoSize {
  Sample get(int64_t);
};
struct Text {
  int64_t size() const;
  const char** get(int64_t);
};
static_assert(DatasetClass<RowSource> && DatasetClass<BatchSource> && DatasetClass<PairSource> && DatasetClass<Noisy>);
static_assert(!DatasetClass<NeitherSizeNorGet> && !DatasetClass<NoSize> && !DatasetClass<Text>);
static_assert(!std::convertible_to<at::Tensor, Dataset>);

}  // namespace
}  // namespace athanor::dataset_test
