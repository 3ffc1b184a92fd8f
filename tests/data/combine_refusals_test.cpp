// SPDX-License-Identifier: Apache-2.0
// What combine() refuses, and errors of one part in the middle of an epoch.
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "athanor/data/combine.hpp"
#include "athanor/data/data.hpp"
#include "tests/core/error_of.hpp"
#include "tests/data/sources.hpp"

namespace athanor::combine_refusals_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<NamedLoader> two_parts() {
  return {{"a", Loader(rows(6), {.batch_size = 2})}, {"b", Loader(rows(4), {.batch_size = 2})}};
}

Error::Parts refusal(CombineOptions options) {
  return error_of([&] { return combine(two_parts(), options); });
}

TEST(CombineRefusalsTest, NoPartsAndNamesThatDoNotTellThemApart) {
  const auto none = error_of([] { return combine({}); });
  EXPECT_EQ(none.what, "a combination of no loaders");
  EXPECT_EQ(none.expected, "at least one part");
  const auto twice = error_of([] {
    return combine({{"a", Loader(rows(1))}, {"b", Loader(rows(1))}, {"a", Loader(rows(1))}});
  });
  EXPECT_EQ(twice.what, "two parts of a combination have one name");
  EXPECT_EQ(twice.where, "part 3 of 3");
  EXPECT_EQ(twice.got, "'a'");
  EXPECT_EQ(error_of([] { return combine({{"", Loader(rows(1))}}); }).what, "a part of a combination has no name");
}

TEST(CombineRefusalsTest, WeightsThatDoNotFit) {
  const auto fewer = refusal({.how = Combine::weighted, .weights = {1}});
  EXPECT_EQ(fewer.what, "the weights do not fit the parts");
  EXPECT_EQ(fewer.where, "CombineOptions::weights");
  EXPECT_EQ(fewer.got, "1 weights");
  EXPECT_EQ(fewer.expected, "2, one for each part");
  EXPECT_EQ(refusal({.how = Combine::weighted}).got, "0 weights");
  const auto negative = refusal({.how = Combine::weighted, .weights = {1, -0.5}});
  EXPECT_EQ(negative.what, "a part has an impossible weight");
  EXPECT_EQ(negative.got, "-0.5");
  EXPECT_EQ(refusal({.how = Combine::weighted, .weights = {1, std::nan("")}}).what, "a part has an impossible weight");
  EXPECT_EQ(refusal({.how = Combine::weighted, .weights = {0, 0}}).what, "the weights have no usable sum");
  EXPECT_EQ(refusal({.how = Combine::weighted, .weights = {1, HUGE_VAL}}).what, "the weights have no usable sum");
  for (Combine how : {Combine::in_turn, Combine::alternate, Combine::zip_shortest, Combine::zip_longest}) {
    const auto parts = refusal({.how = how, .weights = {1, 1}});
    EXPECT_EQ(parts.what, "weights are for Combine::weighted only");
    EXPECT_EQ(parts.got, "2 weights");
  }
}

TEST(CombineRefusalsTest, EpochsWithoutBatchesAndLongerThanWhatThereIs) {
  for (int64_t batches : {0, -4}) {
    const auto parts = refusal({.batches = batches});
    EXPECT_EQ(parts.what, "an epoch without batches");
    EXPECT_EQ(parts.where, "CombineOptions::batches");
    EXPECT_EQ(parts.got, std::to_string(batches));
    EXPECT_EQ(parts.expected, "1 or more");
  }
  for (const auto& [how, most] :
       {std::pair(Combine::in_turn, 5), std::pair(Combine::alternate, 5), std::pair(Combine::zip_shortest, 2)}) {
    const auto parts = refusal({.how = how, .batches = most + 1});
    EXPECT_EQ(parts.what, "an epoch longer than what there is");
    EXPECT_EQ(parts.got, std::to_string(most + 1));
    EXPECT_EQ(parts.expected, "1 to " + std::to_string(most));
    EXPECT_EQ(combine(two_parts(), {.how = how, .batches = most}).batches(), most);
  }
}

TEST(CombineRefusalsTest, OnlyAlternatingPartsAreToldToBeginAgain) {
  for (Combine how : {Combine::in_turn, Combine::zip_shortest, Combine::zip_longest}) {
    EXPECT_EQ(refusal({.how = how, .cycle = true}).where, "CombineOptions::cycle");
  }
}

TEST(CombineRefusalsTest, ACombinationHasNoDataSetAndOptionsOfItsOwn) {
  const Loader loader = combine(two_parts());
  const auto parts = error_of([&] { return loader.dataset().size(); });
  EXPECT_EQ(parts.what, "a combined loader has no dataset of its own");
  EXPECT_EQ(parts.todo, "ask the loaders in parts()");
  EXPECT_EQ(error_of([&] { return loader.options().batch_size; }).where, "Loader::options");
  EXPECT_EQ(error_of([&] { return Data(loader).dataset().size(); }).where, "Loader::dataset");
  EXPECT_EQ(Data(loader).loader({.batch_size = 77}).batches(), 3);
}

TEST(CombineRefusalsTest, APassBeforeTheFirstBatchIsRefused) {
  EXPECT_EQ(error_of([] { return combine(two_parts()).epoch(1, -1).next(); }).got, "batch -1");
}

TEST(CombineRefusalsTest, WeightsOfSamplesInABatchOfAllPartsAreRefused) {
  const Loader weighted(Dataset(at::arange(6), at::arange(6), at::ones({6})), {.batch_size = 2});
  Pass pass = combine({{"a", Loader(rows(6), {.batch_size = 2})}, {"b", weighted}}).epoch(1);
  const auto parts = error_of([&] { return pass.next(); });
  EXPECT_EQ(parts.what, "a batch of several parts can't carry sample weights");
  EXPECT_EQ(parts.where, "part 'b'");
  Pass turns = combine({{"a", weighted}, {"b", weighted}}, {.how = Combine::alternate}).epoch(1);
  EXPECT_TRUE(turns.next()->weight.has_value());
}

struct Failing {
  [[nodiscard]] int64_t size() const { return 6; }
  [[nodiscard]] Sample get(int64_t index) const {
    if (index == 2) throw std::runtime_error("the disk is gone");
    return {index, index};
  }
};

TEST(CombineRefusalsTest, AnErrorNamesThePartAndTheCallAfterItGoesOnInStep) {
  for (int workers : {0, 2}) {
    const std::vector<NamedLoader> parts{
        {"good", Loader(rows(6), {.batch_size = 2, .workers = workers})},
        {"broken", Loader(Failing{}, {.batch_size = 2, .workers = workers})},
    };
    Pass zipped = combine(parts).epoch(1);
    EXPECT_NE(zipped.next(), nullptr);
    const auto told = error_of([&] { return zipped.next(); });
    EXPECT_EQ(told.what, "the data set failed to make a batch");
    EXPECT_EQ(told.where, "part 'broken', batch 2, samples 2, 3");
    EXPECT_EQ(told.got, "the disk is gone");
    const Batch& after = *zipped.next();
    EXPECT_THAT(numbers_in(after.target["good"].tensor()), ElementsAre(4, 5));
    EXPECT_THAT(numbers_in(after.target["broken"].tensor()), ElementsAre(4, 5));
    EXPECT_EQ(after.samples, 4);
    EXPECT_EQ(zipped.next(), nullptr);

    Pass turns = combine(parts, {.how = Combine::alternate}).epoch(1, 3);
    EXPECT_THAT(error_of([&] { return turns.next(); }).where, HasSubstr("part 'broken', batch 2"));
    EXPECT_THAT(numbers_in(turns.next()->target.tensor()), ElementsAre(4, 5));
    const Batch* last = turns.next();
    EXPECT_EQ(last->part, 1);
    EXPECT_THAT(numbers_in(last->target.tensor()), ElementsAre(4, 5));
    EXPECT_EQ(turns.next(), nullptr);
  }
}

}  // namespace
}  // namespace athanor::combine_refusals_test
