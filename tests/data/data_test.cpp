// SPDX-License-Identifier: Apache-2.0
// What may be given to fit: no data, tensors, data sets and loaders, their names, and the split.
#include "athanor/data/data.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "tests/core/error_of.hpp"
#include "tests/data/sources.hpp"

namespace athanor::data_test {
namespace {

using ::testing::ElementsAre;

std::vector<int64_t> targets_of(const Data& data) {
  const Loader loader = data.loader({.batch_size = 1000});
  Pass pass = loader.epoch(1);
  return numbers_in(pass.next()->target.tensor());
}

TEST(DataTest, NoDataAreToldWhenSomebodyAsksForThem) {
  for (const Data& data : {Data(), Data(Dataset())}) EXPECT_FALSE(data.defined());
  const auto parts = error_of([] { static_cast<void>(Data().dataset()); });
  EXPECT_EQ(parts.what, "there are no data");
  EXPECT_EQ(parts.expected, "tensors, a data set or a loader");
  EXPECT_EQ(error_of([] { static_cast<void>(Data().loader({})); }).what, "there are no data");
  EXPECT_EQ(error_of([] { static_cast<void>(Data().split(0.5)); }).what, "there are no data");
  EXPECT_EQ(error_of([] { static_cast<void>(Data(Dataset()).loader({})); }).what, "there are no data");
}

TEST(DataTest, LengthsThatDifferAreRefusedAtOnce) {
  EXPECT_EQ(error_of([] { Data(at::zeros({3}), at::zeros({4})); }).what, "inputs and targets differ in length");
}

TEST(DataTest, ASplitThatLeavesOneSideEmptyIsRefused) {
  const Data data(rows(10));
  for (double fraction : {0.0, 1.0, -0.5, 1.5, 0.01, 0.99, std::nan(""), HUGE_VAL}) {
    const auto parts = error_of([&] { static_cast<void>(data.split(fraction)); });
    EXPECT_EQ(parts.what, "the validation split leaves one side without samples");
    EXPECT_EQ(parts.where, "validation_split");
    EXPECT_THAT(parts.got, ::testing::EndsWith(" of 10 samples"));
  }
  EXPECT_EQ(error_of([] { static_cast<void>(Data(rows(1)).split(0.5)); }).where, "validation_split");
}

TEST(DataTest, ALoaderIsNotSplit) {
  const auto parts = error_of([] { static_cast<void>(Data(Loader(rows(10))).split(0.5)); });
  EXPECT_EQ(parts.what, "a loader can't be split");
  EXPECT_FALSE(parts.todo.empty());
}

TEST(DataTest, TheSplitCutsOffTheEndInTheOrderOfTheDataSet) {
  for (const Data& data : {Data(rows(10)), Data(RowSource{10})}) {
    const auto [rest, cut] = data.named("digits").split(0.3);
    EXPECT_THAT(targets_of(rest), ElementsAre(0, 1, 2, 3, 4, 5, 6));
    EXPECT_THAT(targets_of(cut), ElementsAre(7, 8, 9));
    EXPECT_EQ(rest.name(), "digits");
    EXPECT_EQ(cut.name(), "");
  }
  EXPECT_EQ(Data(rows(60000)).split(0.1).second.dataset().size(), 6000);
  EXPECT_EQ(Data(rows(3)).split(0.5).first.dataset().size() + Data(rows(3)).split(0.5).second.dataset().size(), 3);
}

TEST(DataTest, EverythingThatHoldsDataIsTaken) {
  const at::Tensor numbers = at::arange(4);
  EXPECT_THAT(targets_of({numbers, numbers}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(targets_of({Tree{{"a", numbers}}, numbers}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(targets_of(RowSource{2}), ElementsAre(0, 1));
  EXPECT_THAT(targets_of(std::make_shared<RowSource>(RowSource{2})), ElementsAre(0, 1));
  EXPECT_THAT(targets_of(Dataset(RowSource{2})), ElementsAre(0, 1));
  EXPECT_EQ(Data(numbers).dataset().size(), 4);
  EXPECT_EQ(Data(numbers).dataset().whole_target()->empty(), true);
}

TEST(DataTest, ALoaderKeepsItsOptionsAndOthersTakeThoseOfTheCall) {
  const LoaderOptions options{.batch_size = 5, .shuffle = true};
  const Loader given = Data(Loader(rows(10), {.batch_size = 3})).loader(options);
  EXPECT_EQ(given.options().batch_size, 3);
  EXPECT_FALSE(given.options().shuffle);
  EXPECT_EQ(given.batches(), 4);
  const Loader made = Data(rows(10)).loader(options);
  EXPECT_EQ(made.options().batch_size, 5);
  EXPECT_TRUE(made.options().shuffle);
  EXPECT_EQ(Data(Loader(rows(10))).dataset().size(), 10);
}

TEST(DataTest, ANameIsGivenToACopy) {
  const Data data(rows(3));
  const Data named = data.named("clean");
  EXPECT_EQ(data.name(), "");
  EXPECT_EQ(named.name(), "clean");
  EXPECT_EQ(named.dataset().size(), 3);
}

}  // namespace
}  // namespace athanor::data_test
