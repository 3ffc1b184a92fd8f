// SPDX-License-Identifier: Apache-2.0
// How a batch counts, and data sets that give less than they promised.
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "athanor/data/data.hpp"
#include "tests/core/error_of.hpp"
#include "tests/data/sources.hpp"

namespace athanor::count_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int64_t> counts_of(const Loader& loader) {
  std::vector<int64_t> counts;
  Pass pass = loader.epoch(1);
  for (const Batch& batch : pass) counts.push_back(batch.samples);
  return counts;
}

int64_t sum_of_targets(const Batch& batch) { return batch.target.tensor().sum().item<int64_t>(); }

TEST(CountTest, ACountBelowOneIsRefused) {
  for (int workers : {0, 2}) {
    const Loader loader(rows(4), {.batch_size = 1, .workers = workers, .count = sum_of_targets});
    Pass pass = loader.epoch(1);
    const auto parts = error_of([&] { pass.next(); });
    EXPECT_EQ(parts.what, "a batch counts less than one");
    EXPECT_EQ(parts.where, "batch 1, samples 0");
    EXPECT_EQ(parts.got, "0 from LoaderOptions::count");
    EXPECT_EQ(parts.expected, "1 or more: samples, nodes, tokens");
    EXPECT_EQ(pass.next()->samples, 1);
  }
}

TEST(CountTest, ACountThatThrowsIsToldWithTheBatch) {
  const Loader loader(
      rows(4), {.batch_size = 2, .count = [](const Batch&) -> int64_t { throw std::runtime_error("no tokens"); }});
  const auto parts = error_of([&] { return loader.epoch(1).next(); });
  EXPECT_EQ(parts.where, "batch 1, samples 0, 1");
  EXPECT_EQ(parts.got, "no tokens");
}

/// A batch of graphs: dimension 0 of the input counts nodes, graph i has i + 1 of them.
struct Graphs {
  int64_t told = 0;
  [[nodiscard]] int64_t size() const { return 6; }
  [[nodiscard]] Batch batch(std::span<const int64_t> indices) const {
    int64_t nodes = 0;
    for (int64_t index : indices) nodes += index + 1;
    return {.input = {{"nodes", at::zeros({nodes, 3})}, {"graphs", at::zeros({static_cast<int64_t>(indices.size())})}},
            .target = {},
            .weight = {},
            .indices = {},
            .samples = told};
  }
};

int64_t nodes_of(const Batch& batch) { return batch.input["nodes"].tensor().size(0); }

TEST(CountTest, WhatTheOptionsSayGoesBeforeTheDataSetAndThatBeforeTheIndices) {
  for (int workers : {0, 2}) {
    EXPECT_THAT(counts_of(Loader(Graphs{}, {.batch_size = 4, .workers = workers})), ElementsAre(4, 2));
    EXPECT_THAT(counts_of(Loader(Graphs{.told = 77}, {.batch_size = 4, .workers = workers})), ElementsAre(77, 77));
    const LoaderOptions counting{.batch_size = 4, .workers = workers, .count = nodes_of};
    EXPECT_THAT(counts_of(Loader(Graphs{}, counting)), ElementsAre(10, 11));
    EXPECT_THAT(counts_of(Loader(Graphs{.told = 77}, counting)), ElementsAre(10, 11));
    EXPECT_THAT(counts_of(Data(Graphs{}).loader(counting)), ElementsAre(10, 11));
    EXPECT_EQ(Loader(Graphs{}, counting).samples(), 6);
  }
}

TEST(CountTest, TheCountSeesTheFinishedBatch) {
  const Loader loader(rows(5), {.batch_size = 3, .count = [](const Batch& batch) {
                                  EXPECT_EQ(numbers_in(batch.indices), numbers_in(batch.target.tensor()));
                                  return 10 * batch.samples;
                                }});
  EXPECT_THAT(counts_of(loader), ElementsAre(30, 20));
}

TEST(CountTest, ACountBelowOneOfTheDataSetIsRefused) {
  EXPECT_EQ(error_of([] { counts_of(Loader(Graphs{.told = -1}, {.batch_size = 4})); }).got, "-1 from Batch::samples");
}

/// Gives one sample too few from sample 4 on.
template <class Answer>
struct Short {
  int64_t told = 0;
  [[nodiscard]] int64_t size() const { return 8; }
  [[nodiscard]] Answer batch(std::span<const int64_t> indices) const {
    const int64_t count = static_cast<int64_t>(indices.size()) - (indices[0] >= 4 ? 1 : 0);
    if constexpr (std::is_same_v<Answer, Batch>) {
      Batch batch;
      if (count > 0) batch.input = Tree(at::zeros({count, 2}));
      batch.samples = told == 0 ? 0 : told < 0 ? count : told;
      return batch;
    } else {
      return {at::zeros({count, 2}), at::zeros({count})};
    }
  }
};

void expect_short(const Dataset& dataset, int64_t batch_size, const std::string& place, const std::string& got) {
  for (int workers : {0, 2}) {
    Pass pass = Loader(dataset, {.batch_size = batch_size, .workers = workers}).epoch(1, 4 / batch_size);
    const auto parts = error_of([&] { pass.next(); });
    EXPECT_EQ(parts.what, "the data set gave fewer samples than it was asked for");
    EXPECT_EQ(parts.where, place);
    EXPECT_EQ(parts.got, got);
    EXPECT_EQ(parts.expected, std::to_string(batch_size) + " samples, one for each index");
    EXPECT_THAT(parts.todo, HasSubstr("LoaderOptions::count"));
  }
}

TEST(DryTest, ABatchWithFewerSamplesThanAskedIsRefused) {
  expect_short(Short<std::vector<at::Tensor>>{}, 4, "batch 2, samples 4, 5, 6, 7", "3 samples");
  expect_short(Short<std::pair<at::Tensor, at::Tensor>>{}, 2, "batch 3, samples 4, 5", "1 samples");
  expect_short(Short<Batch>{}, 4, "batch 2, samples 4, 5, 6, 7", "3 samples");
  expect_short(Short<Batch>{.told = -1}, 4, "batch 2, samples 4, 5, 6, 7", "3 samples");
  expect_short(Short<Batch>{}, 1, "batch 5, samples 4", "0 samples");
}

TEST(DryTest, ADataSetThatCountsInItsOwnWayIsNotLookedAt) {
  EXPECT_THAT(counts_of(Loader(Short<Batch>{.told = 9}, {.batch_size = 4})), ElementsAre(9, 9));
  EXPECT_THAT(counts_of(Loader(Short<Batch>{}, {.batch_size = 4, .count = [](const Batch&) { return 5; }})),
              ElementsAre(5, 5));
}

struct Shrinking {
  std::shared_ptr<std::atomic<int64_t>> count = std::make_shared<std::atomic<int64_t>>(10);
  [[nodiscard]] int64_t size() const { return *count; }
  [[nodiscard]] Sample get(int64_t index) const { return {index, index}; }
};

TEST(DryTest, ADataSetThatShrinksIsToldWithTheBatchAndBothSizes) {
  for (int workers : {0, 2}) {
    const Shrinking source;
    const Loader loader(source, {.batch_size = 4, .workers = workers});
    Pass before = loader.epoch(1, 0, 1);
    EXPECT_NE(before.next(), nullptr);
    *source.count = 3;
    for (int64_t batch = 0; batch < 3; ++batch) {
      Pass pass = loader.epoch(2, batch);
      const auto parts = error_of([&] { pass.next(); });
      EXPECT_EQ(parts.what, "the data set has become smaller since its loader was made");
      EXPECT_THAT(parts.where, HasSubstr("batch " + std::to_string(batch + 1) + ", samples "));
      EXPECT_EQ(parts.got, "3 samples");
      EXPECT_EQ(parts.expected, "10 samples");
    }
    *source.count = 0;
    EXPECT_EQ(error_of([&] { return loader.epoch(3).next(); }).got, "0 samples");
    EXPECT_EQ(loader.samples(), 10);
  }
}

TEST(DryTest, SamplesThatAreAddedLaterAreNotSeen) {
  const Shrinking source;
  const Loader loader(source, {.batch_size = 4, .shuffle = true});
  auto order = [&] {
    std::vector<int64_t> all;
    Pass pass = loader.epoch(1);
    for (const Batch& batch : pass) {
      for (int64_t number : numbers_in(batch.target.tensor())) all.push_back(number);
    }
    return all;
  };
  const std::vector<int64_t> expected = order();
  *source.count = 1000;
  EXPECT_EQ(order(), expected);
}

}  // namespace
}  // namespace athanor::count_test
