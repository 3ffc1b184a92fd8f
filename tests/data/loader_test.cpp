// SPDX-License-Identifier: Apache-2.0
// Loader and pass: the order is a function of seed and epoch for any number of threads, leaving early and data sets
// that throw are fine, buffers are used again only when nobody holds them.
#include "athanor/data/loader.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/core/error_of.hpp"
#include "tests/data/sources.hpp"

namespace athanor::loader_test {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using Batches = std::vector<std::vector<int64_t>>;

Batches rest_of(Pass pass) {
  Batches batches;
  for (const Batch& batch : pass) {
    batches.push_back(numbers_in(batch.target.tensor()));
    EXPECT_EQ(numbers_in(batch.indices), batches.back());
    EXPECT_EQ(numbers_in(batch.input.tensor().select(1, 0)), batches.back());
    EXPECT_EQ(batch.samples, static_cast<int64_t>(batches.back().size()));
  }
  return batches;
}

std::vector<int64_t> joined(const Batches& batches) {
  std::vector<int64_t> all;
  for (const auto& batch : batches) all.insert(all.end(), batch.begin(), batch.end());
  return all;
}

std::vector<int64_t> counted_to(int64_t size) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < size; ++i) all.push_back(i);
  return all;
}

TEST(LoaderTest, AnEmptyDataSetIsRefused) {
  for (const Dataset& dataset : {Dataset(), rows(3).slice(1, 1), Dataset(RowSource{0})}) {
    const auto parts = error_of([&] { Loader{dataset}; });
    EXPECT_EQ(parts.what, "a loader over an empty data set");
    EXPECT_EQ(parts.got, "0 samples");
    EXPECT_FALSE(parts.todo.empty());
  }
}

TEST(LoaderTest, ABatchSizeBelowOneIsRefused) {
  for (int64_t size : {0, -1}) {
    const auto parts = error_of([&] { Loader(rows(3), {.batch_size = size}); });
    EXPECT_EQ(parts.where, "LoaderOptions::batch_size");
    EXPECT_EQ(parts.got, std::to_string(size));
    EXPECT_EQ(parts.expected, "1 or more");
  }
}

TEST(LoaderTest, ImpossibleThreadsAreRefused) {
  EXPECT_THAT(error_of([] { Loader(rows(3), {.workers = -1}); }).got, HasSubstr("-1 workers"));
  EXPECT_THAT(error_of([] { Loader(rows(3), {.workers = 1, .prefetch = 0}); }).got, HasSubstr("0 batches ahead"));
}

TEST(LoaderTest, DroppingTheOnlyBatchIsRefused) {
  const auto parts = error_of([] { Loader(rows(31), {.batch_size = 32, .drop_last = true}); });
  EXPECT_EQ(parts.what, "a loader without a single full batch");
  EXPECT_EQ(parts.where, "LoaderOptions::drop_last");
  EXPECT_EQ(parts.got, "31 samples for batches of 32");
}

TEST(LoaderTest, APassBeforeTheFirstBatchIsRefusedAndOneBeyondTheEndIsEmpty) {
  for (int workers : {0, 2}) {
    const Loader loader(rows(10), {.batch_size = 4, .workers = workers});
    EXPECT_EQ(error_of([&] { return loader.epoch(1, -1); }).got, "batch -1");
    EXPECT_THAT(rest_of(loader.epoch(1, 3)), SizeIs(0));
    EXPECT_THAT(rest_of(loader.epoch(1, 99)), SizeIs(0));
    EXPECT_THAT(rest_of(loader.epoch(1, 2, 1)), SizeIs(0));
    EXPECT_THAT(rest_of(loader.epoch(1, 0, -5)), SizeIs(0));
  }
}

TEST(LoaderTest, CountsBatchesAndSamplesWithAndWithoutTheLast) {
  auto counts = [](int64_t size, int64_t batch_size, bool drop_last) {
    const Loader loader(rows(size), {.batch_size = batch_size, .drop_last = drop_last});
    return std::pair(loader.batches(), loader.samples());
  };
  EXPECT_EQ(counts(10, 4, false), std::pair(int64_t{3}, int64_t{10}));
  EXPECT_EQ(counts(10, 4, true), std::pair(int64_t{2}, int64_t{8}));
  EXPECT_EQ(counts(8, 4, false), std::pair(int64_t{2}, int64_t{8}));
  EXPECT_EQ(counts(8, 4, true), std::pair(int64_t{2}, int64_t{8}));
  EXPECT_EQ(counts(1, 4, false), std::pair(int64_t{1}, int64_t{1}));
  EXPECT_EQ(counts(10, INT64_MAX, false), std::pair(int64_t{1}, int64_t{10}));
  EXPECT_EQ(counts(10, 1, true), std::pair(int64_t{10}, int64_t{10}));
}

TEST(LoaderTest, WithoutShufflingTheOrderIsThatOfTheDataSet) {
  for (int workers : {0, 1, 3}) {
    const Loader loader(rows(10), {.batch_size = 4, .workers = workers});
    EXPECT_THAT(rest_of(loader.epoch(7)),
                ElementsAre(ElementsAre(0, 1, 2, 3), ElementsAre(4, 5, 6, 7), ElementsAre(8, 9)));
    const Loader dropping(rows(10), {.batch_size = 4, .drop_last = true, .workers = workers});
    EXPECT_THAT(rest_of(dropping.epoch(7)), ElementsAre(ElementsAre(0, 1, 2, 3), ElementsAre(4, 5, 6, 7)));
  }
}

TEST(LoaderTest, TheOrderIsTheSameForAnyNumberOfThreadsAndHoldsEverySampleOnce) {
  for (const Dataset& dataset : {rows(103), Dataset(RowSource{103})}) {
    const Batches expected = rest_of(Loader(dataset, {.batch_size = 8, .shuffle = true}).epoch(3));
    EXPECT_EQ(expected.back().size(), 7U);
    std::vector<int64_t> sorted = joined(expected);
    EXPECT_NE(sorted, counted_to(103));
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(sorted, counted_to(103));
    for (int workers : {1, 3}) {
      for (int64_t prefetch : {int64_t{1}, int64_t{5}, INT64_MAX}) {
        const Loader loader(dataset, {.batch_size = 8, .shuffle = true, .workers = workers, .prefetch = prefetch});
        EXPECT_EQ(rest_of(loader.epoch(3)), expected) << workers << " workers, " << prefetch << " ahead";
      }
    }
  }
}

TEST(LoaderTest, TheOrderDiffersByEpochAndSeedOnly) {
  auto order = [](int64_t epoch, std::optional<uint64_t> seed, uint64_t run_seed = 0) {
    return rest_of(Loader(rows(50), {.shuffle = true, .seed = seed}).epoch(epoch, 0, {}, run_seed));
  };
  EXPECT_EQ(order(1, {}), order(1, {}));
  EXPECT_NE(order(1, {}), order(2, {}));
  EXPECT_NE(order(1, {}, 1), order(1, {}, 2));
  EXPECT_NE(order(1, 1), order(1, 2));
  EXPECT_EQ(order(1, 5, 1), order(1, 5, 2));  // the options' own seed counts
  EXPECT_EQ(order(1, 5), order(1, {}, 5));
  EXPECT_EQ(order(1, {}), order(1, 0));
}

TEST(LoaderTest, TheSamplesLeftOutDifferByEpoch) {
  const Loader loader(rows(11), {.batch_size = 10, .shuffle = true, .drop_last = true});
  std::set<int64_t> left_out;
  for (int64_t epoch = 0; epoch < 40; ++epoch) {
    std::vector<int64_t> all = joined(rest_of(loader.epoch(epoch)));
    EXPECT_EQ(all.size(), 10U);
    for (int64_t i = 0; i < 11; ++i) {
      if (std::find(all.begin(), all.end(), i) == all.end()) left_out.insert(i);
    }
  }
  EXPECT_GT(left_out.size(), 5U);
}

TEST(LoaderTest, APassFromTheMiddleIsTheTailOfTheWhole) {
  for (int workers : {0, 1, 3}) {
    const Loader loader(rows(45), {.batch_size = 4, .shuffle = true, .workers = workers});
    const Batches whole = rest_of(loader.epoch(2));
    for (int64_t first = 0; first <= 12; ++first) {
      EXPECT_EQ(rest_of(loader.epoch(2, first)), Batches(whole.begin() + first, whole.end())) << first;
    }
    EXPECT_EQ(rest_of(loader.epoch(2, 3, 5)), Batches(whole.begin() + 3, whole.begin() + 5));
    EXPECT_EQ(rest_of(loader.epoch(2, 10, 99)), Batches(whole.begin() + 10, whole.end()));
  }
}

struct Counting {
  std::shared_ptr<std::atomic<int>> asked = std::make_shared<std::atomic<int>>(0);
  [[nodiscard]] int64_t size() const { return int64_t{1} << 40; }
  [[nodiscard]] Sample get(int64_t index) const {
    ++*asked;
    return {at::full({3}, static_cast<double>(index)), index};
  }
};

TEST(LoaderTest, ResumingFarInsideAHugeEpochMakesOneBatchOnly) {
  const Counting source;
  const Loader loader(source, {.batch_size = 4, .shuffle = true});
  Pass pass = loader.epoch(1, loader.batches() - 1);
  ASSERT_NE(pass.next(), nullptr);
  EXPECT_EQ(*source.asked, 4);
  EXPECT_EQ(pass.next(), nullptr);
}

TEST(LoaderTest, TheEndIsTheEndAlsoWhenAskedAgain) {
  for (int workers : {0, 2}) {
    Pass pass = Loader(rows(4), {.batch_size = 4, .workers = workers}).epoch(1);
    EXPECT_NE(pass.next(), nullptr);
    EXPECT_EQ(pass.next(), nullptr);
    EXPECT_EQ(pass.next(), nullptr);
  }
}

TEST(LoaderTest, APassOutlivesItsLoaderAndMoves) {
  for (int workers : {0, 2}) {
    std::optional<Loader> loader(Loader(rows(9), {.batch_size = 4, .workers = workers}));
    Pass first = loader->epoch(1);
    loader.reset();
    EXPECT_EQ(first.next()->samples, 4);
    Pass second = std::move(first);
    EXPECT_THAT(rest_of(std::move(second)), ElementsAre(ElementsAre(4, 5, 6, 7), ElementsAre(8)));
  }
}

TEST(LoaderTest, LeavingEarlyNeitherHangsNorThrows) {
  for (int round = 0; round < 200; ++round) {
    const Loader loader(Dataset(RowSource{1000}), {.batch_size = 4, .shuffle = true, .workers = 1 + round % 4});
    Pass pass = loader.epoch(round);
    for (int taken = 0; taken < round % 5; ++taken) ASSERT_NE(pass.next(), nullptr);
  }
}

struct Failing {
  std::function<void(int64_t)> fail;
  [[nodiscard]] int64_t size() const { return 20; }
  [[nodiscard]] Sample get(int64_t index) const {
    if (index == 9) fail(index);
    return {at::full({3}, static_cast<double>(index)), index};
  }
};

TEST(LoaderTest, ADataSetThatThrowsIsToldWithBatchAndSamples) {
  const std::vector<std::pair<std::function<void(int64_t)>, std::string>> failures{
      {[](int64_t) { throw std::runtime_error("the disk is gone"); }, "the disk is gone"},
      {[](int64_t) { throw Error({.what = "not an image", .where = "cat.png"}); }, "not an image\n  where:    cat.png"},
      {[](int64_t) { static_cast<void>(at::zeros({2}).view({3})); }, "shape '[3]' is invalid for input of size 2"},
  };
  for (const auto& [fail, message] : failures) {
    for (int workers : {0, 1, 3}) {
      const Loader loader(Failing{fail}, {.batch_size = 4, .workers = workers});
      Pass pass = loader.epoch(1);
      pass.next();
      pass.next();
      const auto parts = error_of([&] { pass.next(); });
      EXPECT_EQ(parts.what, "the data set failed to make a batch");
      EXPECT_EQ(parts.where, "batch 3, samples 8, 9, 10, 11");
      EXPECT_THAT(parts.got, HasSubstr(message));
      EXPECT_THAT(parts.got, ::testing::Not(HasSubstr("frame #")));
      // The call after that goes on.
      EXPECT_THAT(rest_of(std::move(pass)), ElementsAre(ElementsAre(12, 13, 14, 15), ElementsAre(16, 17, 18, 19)));
    }
  }
}

TEST(LoaderTest, APassCanBeDroppedBeforeAndAfterAnError) {
  for (int round = 0; round < 100; ++round) {
    const Loader loader(Failing{[](int64_t) { throw std::runtime_error("x"); }}, {.batch_size = 4, .workers = 3});
    Pass pass = loader.epoch(1, round % 3);
    if (round % 2 == 0) {
      for (int64_t batch = round % 3; batch < 2; ++batch) pass.next();
      error_of([&] { pass.next(); });
    }
  }
}

TEST(LoaderTest, OnlyTheFirstSamplesOfALongBatchAreNamed) {
  const Loader loader(Failing{[](int64_t) { throw std::runtime_error("x"); }}, {.batch_size = 20});
  EXPECT_EQ(error_of([&] { return loader.epoch(1).next(); }).where, "batch 1, samples 0, 1, 2, 3, 4, 5, 6, 7, …");
}

struct Augmented {
  [[nodiscard]] int64_t size() const { return 37; }
  [[nodiscard]] Sample get(int64_t index, Philox& random) const {
    std::vector<at::Tensor> parts;
    const uint64_t draws = 1 + random.below(5);  // samples draw different numbers of times
    double value = 0;
    for (uint64_t i = 0; i < draws; ++i) value = random.normal();
    return {at::full({2}, value), index};
  }
};

TEST(LoaderTest, AugmentationIsTheSameForAnyNumberOfThreadsAndFromTheMiddle) {
  auto inputs = [](int workers, int64_t epoch, int64_t first = 0, uint64_t seed = 1) {
    std::vector<std::vector<double>> all;
    const Loader loader(Augmented{}, {.batch_size = 5, .shuffle = true, .workers = workers, .seed = seed});
    Pass pass = loader.epoch(epoch, first);
    for (const Batch& batch : pass) {
      auto& values = all.emplace_back();
      for (int64_t i = 0; i < batch.samples; ++i) values.push_back(batch.input.tensor()[i][0].item<double>());
    }
    return all;
  };
  const auto expected = inputs(0, 1);
  EXPECT_EQ(inputs(1, 1), expected);
  EXPECT_EQ(inputs(3, 1), expected);
  for (int workers : {0, 3}) {
    EXPECT_EQ(inputs(workers, 1, 4), (std::vector<std::vector<double>>(expected.begin() + 4, expected.end())));
  }
  EXPECT_NE(inputs(0, 2), expected);
  EXPECT_NE(inputs(0, 1, 0, 2), expected);
}

const std::vector<std::function<at::Tensor(const at::Tensor&)>>& ways_to_hold() {
  static const std::vector<std::function<at::Tensor(const at::Tensor&)>> ways{
      [](const at::Tensor& tensor) { return tensor; },
      [](const at::Tensor& tensor) { return tensor.detach(); },
      [](const at::Tensor& tensor) { return tensor.slice(0, 1, 2); },
      [](const at::Tensor& tensor) { return tensor.view({-1}); },
  };
  return ways;
}

TEST(LoaderTest, TensorsThatSomebodyHoldsAreNotWrittenOver) {
  for (int workers : {0, 1, 3}) {
    for (const auto& hold : ways_to_hold()) {
      std::vector<std::pair<at::Tensor, at::Tensor>> held;
      Pass pass = Loader(rows(64), {.batch_size = 4, .shuffle = true, .workers = workers, .prefetch = 1}).epoch(1);
      for (const Batch& batch : pass) {
        for (const at::Tensor& tensor : {batch.input.tensor(), batch.target.tensor(), batch.indices}) {
          held.emplace_back(hold(tensor), hold(tensor).clone());
        }
      }
      for (const auto& [tensor, before] : held) EXPECT_TRUE(at::equal(tensor, before)) << workers << " workers";
    }
  }
}

TEST(LoaderTest, ACopyOfABatchStaysAsItIs) {
  for (int workers : {0, 2}) {
    Pass pass = Loader(rows(40), {.batch_size = 4, .workers = workers}).epoch(1);
    std::vector<Batch> kept;
    for (const Batch& batch : pass) kept.push_back(batch);
    for (size_t i = 0; i < kept.size(); ++i) {
      EXPECT_EQ(numbers_in(kept[i].target.tensor())[0], static_cast<int64_t>(4 * i));
      EXPECT_EQ(numbers_in(kept[i].indices)[0], static_cast<int64_t>(4 * i));
    }
  }
}

TEST(LoaderTest, TensorsThatNobodyHoldsAreUsedAgain) {
  for (int workers : {0, 1, 3}) {
    const Loader loader(rows(4000), {.batch_size = 4, .shuffle = true, .workers = workers});
    std::set<const void*> inputs;
    std::set<const void*> indices;
    Pass pass = loader.epoch(1);
    for (const Batch& batch : pass) {
      inputs.insert(batch.input.tensor().data_ptr());
      indices.insert(batch.indices.data_ptr());
    }
    const size_t slots = static_cast<size_t>(workers) * 2 + 1;
    EXPECT_LE(inputs.size(), slots);
    EXPECT_LE(indices.size(), slots);
  }
}

struct Watching {
  std::shared_ptr<std::mutex> mutex = std::make_shared<std::mutex>();
  std::shared_ptr<std::set<std::tuple<int, bool, bool>>> seen =
      std::make_shared<std::set<std::tuple<int, bool, bool>>>();
  std::thread::id caller = std::this_thread::get_id();
  [[nodiscard]] int64_t size() const { return 64; }
  [[nodiscard]] Sample get(int64_t index) const {
    const at::Tensor row = at::full({3}, static_cast<double>(index));
    static_cast<void>(at::zeros({200000}) + 1);  // an operator that is large enough to be shared out
    const std::lock_guard lock(*mutex);
    seen->emplace(at::get_num_threads(), at::GradMode::is_enabled(), std::this_thread::get_id() == caller);
    return {row, index};
  }
};

TEST(LoaderTest, WorkersUseOneThreadEachAndTheHostKeepsItsOwn) {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  const Watching source;
  {
    Pass pass = Loader(source, {.batch_size = 4, .workers = 3}).epoch(1);
    EXPECT_EQ(at::get_num_threads(), 3);
    while (pass.next() != nullptr) EXPECT_EQ(at::get_num_threads(), 3);
  }
  EXPECT_EQ(at::get_num_threads(), 3);
  int in_new_thread = 0;
  std::thread([&] { in_new_thread = at::get_num_threads(); }).join();
  EXPECT_EQ(in_new_thread, 3);
  at::set_num_threads(before);
  EXPECT_THAT(*source.seen, ElementsAre(std::tuple(1, false, false)));
}

TEST(LoaderTest, WithoutWorkersTheCallerMakesTheBatchesWithoutGradients) {
  const Watching source;
  Pass pass = Loader(source, {.batch_size = 4}).epoch(1);
  while (pass.next() != nullptr) EXPECT_TRUE(at::GradMode::is_enabled());
  EXPECT_THAT(*source.seen, ElementsAre(std::tuple(at::get_num_threads(), false, true)));
}

struct Uneven {
  [[nodiscard]] int64_t size() const { return 60; }
  [[nodiscard]] Sample get(int64_t index) const {
    std::this_thread::sleep_for(std::chrono::microseconds(index % 7 == 0 ? 2000 : 10));
    return {at::full({3}, static_cast<double>(index)), index};
  }
};

TEST(LoaderTest, SlowBatchesDoNotChangeTheOrder) {
  const Batches expected = rest_of(Loader(rows(60), {.batch_size = 3, .shuffle = true}).epoch(1));
  EXPECT_EQ(rest_of(Loader(Uneven{}, {.batch_size = 3, .shuffle = true, .workers = 4}).epoch(1)), expected);
}

// For a thread sanitizer: many passes at once, each with threads of its own, over one data set; some leave early, some
// hold what they were given, some meet an error.
TEST(LoaderTest, ManyPassesAtOnceOverOneDataSet) {
  const Dataset tensors = rows(200);
  const Dataset samples = Augmented{};
  const Dataset failing = Failing{[](int64_t) { throw std::runtime_error("x"); }};
  std::atomic<int64_t> sum = 0;
  std::atomic<int> errors = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (int64_t epoch = 0; epoch < 4; ++epoch) {
        Pass pass = Loader(tensors, {.batch_size = 7, .shuffle = true, .workers = 1 + i % 3}).epoch(epoch);
        std::vector<at::Tensor> held;
        int64_t total = 0;
        for (const Batch& batch : pass) {
          total += batch.target.tensor().sum().item<int64_t>();
          if (i % 2 == 0) held.push_back(batch.input.tensor().detach());
        }
        sum += total;
        Pass early = Loader(samples, {.batch_size = 2, .workers = 2}).epoch(epoch);
        early.next();
        Pass broken = Loader(failing, {.batch_size = 4, .workers = 2}).epoch(epoch);
        try {
          while (broken.next() != nullptr) {
          }
        } catch (const Error&) {
          ++errors;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 6 * 4 * (199 * 200 / 2));
  EXPECT_EQ(errors, 24);
}

}  // namespace
}  // namespace athanor::loader_test
