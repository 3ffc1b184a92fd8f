// SPDX-License-Identifier: Apache-2.0
// Several loaders under one, against a plain simulation: which batches in which order, from any first batch, for any
// number of threads; then shuffling, drawing, and what a batch holds.
#include "athanor/data/combine.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/core/error_of.hpp"
#include "tests/data/sources.hpp"

namespace athanor::combine_test {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

using Numbers = std::vector<int64_t>;
using Batches = std::vector<Numbers>;

/// Sample i of part p is the number 1000 p + i.
Dataset numbered(int64_t part, int64_t count) {
  const at::Tensor numbers = at::arange(1000 * part, 1000 * part + count);
  return Dataset(numbers, numbers);
}

/// 3, 5 and 1 batches.
std::vector<NamedLoader> three_parts(int workers, bool shuffle = false) {
  return {{"a", Loader(numbered(0, 5), {.batch_size = 2, .shuffle = shuffle, .workers = workers})},
          {"b", Loader(numbered(1, 9), {.batch_size = 2, .shuffle = shuffle, .workers = workers})},
          {"c", Loader(numbered(2, 3), {.batch_size = 4, .shuffle = shuffle, .workers = workers})}};
}
const std::vector<Batches>& batches_of_three_parts() {
  static const std::vector<Batches> parts{
      {{0, 1}, {2, 3}, {4}}, {{1000, 1001}, {1002, 1003}, {1004, 1005}, {1006, 1007}, {1008}}, {{2000, 2001, 2002}}};
  return parts;
}

bool zips(const CombineOptions& options) {
  return options.how == Combine::zip_shortest || options.how == Combine::zip_longest;
}

/// What a batch holds, checked against its own fields: the numbers of all its parts, one after the other.
Numbers numbers_of(const Batch& batch, bool zipped) {
  Numbers all;
  if (zipped) {
    for (const auto& [name, target] : batch.target.entries()) {
      for (int64_t number : numbers_in(target.tensor())) all.push_back(number);
      EXPECT_EQ(numbers_in(batch.input[name].tensor()), numbers_in(target.tensor()));
    }
    EXPECT_FALSE(batch.indices.defined());
    EXPECT_EQ(batch.part, 0);
  } else {
    all = numbers_in(batch.target.tensor());
    EXPECT_EQ(numbers_in(batch.input.tensor()), all);
    EXPECT_EQ(batch.part, all[0] / 1000);
    EXPECT_EQ(numbers_in(batch.indices)[0] + 1000 * batch.part, all[0]);
  }
  EXPECT_EQ(batch.samples, static_cast<int64_t>(all.size()));
  EXPECT_FALSE(batch.weight.has_value());
  return all;
}

Batches rest_of(Pass pass, bool zipped) {
  Batches batches;
  for (const Batch& batch : pass) batches.push_back(numbers_of(batch, zipped));
  return batches;
}

/// The simulation: hands of batches, played as the mode says, with no arithmetic of positions. `weighted` is played
/// with the order of the parts that was seen.
Batches played(const std::vector<Batches>& parts, const CombineOptions& options, size_t limit,
               const std::vector<size_t>& drawn = {}) {
  std::vector<Batches> hands = parts;
  std::vector<bool> has_been_through(parts.size(), false);
  Batches table;
  auto play = [&](size_t part) {
    if (hands[part].empty()) hands[part] = parts[part];
    Numbers batch = hands[part].front();
    hands[part].erase(hands[part].begin());
    if (hands[part].empty()) has_been_through[part] = true;
    return batch;
  };
  auto through = [&](bool yes) { return std::ranges::count(has_been_through, yes); };
  const auto all = static_cast<int64_t>(parts.size());
  while (table.size() < limit) {
    switch (options.how) {
      case Combine::in_turn: {
        if (through(true) == all) return table;
        table.push_back(play(static_cast<size_t>(through(true))));
        break;
      }
      case Combine::alternate:
        if (through(true) == all && !options.batches) return table;
        for (size_t part = 0; part < parts.size(); ++part) {
          if (options.cycle || !has_been_through[part]) table.push_back(play(part));
        }
        break;
      case Combine::zip_shortest:
      case Combine::zip_longest: {
        const bool over = options.how == Combine::zip_shortest ? through(true) > 0 : through(true) == all;
        if (over && !(options.batches && options.how == Combine::zip_longest)) return table;
        Numbers together;
        for (size_t part = 0; part < parts.size(); ++part) {
          for (int64_t number : play(part)) together.push_back(number);
        }
        table.push_back(together);
        break;
      }
      case Combine::weighted:
        if (table.size() == drawn.size()) return table;
        table.push_back(play(drawn[table.size()]));
        break;
    }
  }
  table.resize(limit);
  return table;
}

std::vector<size_t> parts_drawn(const Loader& loader, int64_t epoch) {
  std::vector<size_t> drawn;
  Pass pass = loader.epoch(epoch);
  for (const Batch& batch : pass) drawn.push_back(static_cast<size_t>(batch.part));
  return drawn;
}

const std::vector<std::pair<CombineOptions, size_t>>& ways_and_lengths() {
  static const std::vector<std::pair<CombineOptions, size_t>> ways{
      {{.how = Combine::in_turn}, 9},
      {{.how = Combine::in_turn, .batches = 4}, 4},
      {{.how = Combine::alternate}, 9},
      {{.how = Combine::alternate, .batches = 7}, 7},
      {{.how = Combine::alternate, .cycle = true}, 15},
      {{.how = Combine::alternate, .batches = 22, .cycle = true}, 22},
      {{.how = Combine::zip_shortest}, 1},
      {{.how = Combine::zip_longest}, 5},
      {{.how = Combine::zip_longest, .batches = 3}, 3},
      {{.how = Combine::zip_longest, .batches = 11}, 11},
      {{.how = Combine::weighted, .weights = {1, 2, 0.5}}, 9},
      {{.how = Combine::weighted, .weights = {1, 2, 0.5}, .batches = 30}, 30},
  };
  return ways;
}

TEST(CombineTest, EveryModeGivesTheBatchesOfTheSimulationFromAnyBatchOn) {
  for (const auto& [options, length] : ways_and_lengths()) {
    const Loader reference = combine(three_parts(0), options);
    const std::vector<size_t> drawn =
        options.how == Combine::weighted ? parts_drawn(reference, 1) : std::vector<size_t>();
    const Batches expected = played(batches_of_three_parts(), options, length, drawn);
    ASSERT_THAT(expected, SizeIs(length));
    int64_t samples = 0;
    for (const Numbers& batch : expected) samples += static_cast<int64_t>(batch.size());
    for (int workers : {0, 2}) {
      const Loader loader = combine(three_parts(workers), options);
      const std::string way =
          std::to_string(static_cast<int>(options.how)) + ", " + std::to_string(workers) + " workers";
      EXPECT_EQ(loader.batches(), static_cast<int64_t>(length)) << way;
      if (options.how != Combine::weighted) {
        EXPECT_EQ(loader.samples(), samples) << way;
      }
      for (size_t first = 0; first <= length; ++first) {
        const Batches tail(expected.begin() + static_cast<int64_t>(first), expected.end());
        EXPECT_EQ(rest_of(loader.epoch(1, static_cast<int64_t>(first)), zips(options)), tail)
            << way << ", from " << first;
      }
      const auto middle = static_cast<int64_t>(length / 2);
      EXPECT_EQ(rest_of(loader.epoch(1, middle / 2, middle), zips(options)),
                Batches(expected.begin() + middle / 2, expected.begin() + middle));
      EXPECT_THAT(rest_of(loader.epoch(1, 99), zips(options)), SizeIs(0));
      EXPECT_THAT(rest_of(loader.epoch(1, 1, 1), zips(options)), SizeIs(0));
    }
  }
}

TEST(CombineTest, TheSimulationIsWhatAPersonWouldWrite) {
  EXPECT_THAT(rest_of(combine(three_parts(0), {.how = Combine::alternate}).epoch(1), false),
              ElementsAre(ElementsAre(0, 1), ElementsAre(1000, 1001), ElementsAre(2000, 2001, 2002), ElementsAre(2, 3),
                          ElementsAre(1002, 1003), ElementsAre(4), ElementsAre(1004, 1005), ElementsAre(1006, 1007),
                          ElementsAre(1008)));
  EXPECT_THAT(rest_of(combine(three_parts(0)).epoch(1, 3), true),
              ElementsAre(ElementsAre(0, 1, 1006, 1007, 2000, 2001, 2002), ElementsAre(2, 3, 1008, 2000, 2001, 2002)));
}

TEST(CombineTest, ShuffledEpochsDifferAndAreTheSameFromTheMiddleAndForAnyThreads) {
  for (const auto& [options, length] : ways_and_lengths()) {
    const Loader loader = combine(three_parts(0, true), options);
    const Batches first = rest_of(loader.epoch(1), zips(options));
    EXPECT_EQ(rest_of(loader.epoch(1), zips(options)), first);
    EXPECT_NE(rest_of(loader.epoch(2), zips(options)), first);
    EXPECT_NE(rest_of(loader.epoch(1, 0, {}, 5), zips(options)), first);
    for (int workers : {0, 2}) {
      const Loader again = combine(three_parts(workers, true), options);
      for (size_t from = 0; from <= length; ++from) {
        EXPECT_EQ(rest_of(again.epoch(1, static_cast<int64_t>(from)), zips(options)),
                  Batches(first.begin() + static_cast<int64_t>(from), first.end()));
      }
    }
  }
}

TEST(CombineTest, EachRoundOfAPartHoldsEverySampleOnceInAnOrderOfItsOwn) {
  const Loader loader = combine({{"short", Loader(numbered(0, 12), {.batch_size = 4, .shuffle = true})},
                                 {"long", Loader(numbered(1, 36), {.batch_size = 4, .shuffle = true})}});
  Numbers of_short;
  Pass pass = loader.epoch(1);
  for (const Batch& batch : pass) {
    for (int64_t number : numbers_in(batch.target["short"].tensor())) of_short.push_back(number);
  }
  ASSERT_THAT(of_short, SizeIs(36));
  std::set<Numbers> orders;
  for (auto round = of_short.begin(); round != of_short.end(); round += 12) {
    Numbers order(round, round + 12);
    orders.insert(order);
    std::ranges::sort(order);
    EXPECT_EQ(order, numbers_in(at::arange(12)));
  }
  EXPECT_THAT(orders, SizeIs(3));
}

TEST(CombineTest, PartsOverOneDataSetHaveDifferentOrders) {
  for (std::optional<uint64_t> seed : {std::optional<uint64_t>(), std::optional<uint64_t>(7)}) {
    const Loader part(numbered(0, 40), {.batch_size = 40, .shuffle = true, .seed = seed});
    Pass pass = combine({{"a", part}, {"b", part}}).epoch(1);
    const Batch& batch = *pass.next();
    EXPECT_NE(numbers_in(batch.input["a"].tensor()), numbers_in(batch.input["b"].tensor()));
    Pass turns = combine({{"a", part}, {"b", part}}, {.how = Combine::in_turn}).epoch(1);
    const Numbers first = numbers_in(turns.next()->indices);
    EXPECT_NE(numbers_in(turns.next()->indices), first);
  }
}

TEST(CombineTest, PartsAreDrawnAsOftenAsTheirWeightsSay) {
  const std::vector<double> weights{0, 3, 1, 0, 4, 0};
  std::vector<NamedLoader> parts;
  for (int64_t part = 0; part < 6; ++part) {
    parts.push_back({std::to_string(part), Loader(numbered(part, part + 1), {.batch_size = 1})});
  }
  constexpr int64_t draws = 8000;
  const Loader loader = combine(parts, {.how = Combine::weighted, .weights = weights, .batches = draws});
  const std::vector<size_t> drawn = parts_drawn(loader, 1);
  ASSERT_EQ(drawn.size(), static_cast<size_t>(draws));
  for (size_t part = 0; part < 6; ++part) {
    const double share = weights[part] / 8;
    // Five standard deviations of a binomial distribution.
    const double near = 5 * std::sqrt(draws * share * (1 - share));
    EXPECT_NEAR(static_cast<double>(std::ranges::count(drawn, part)), draws * share, near) << part;
  }
  // Draws that follow each other are independent: 4 after 4 as often as 4 after anything.
  int64_t pairs = 0;
  for (size_t i = 1; i < drawn.size(); ++i) pairs += drawn[i] == 4 && drawn[i - 1] == 4 ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(pairs), draws / 4.0, 5 * std::sqrt(draws * 0.25 * 0.75) * 2);
  EXPECT_NE(parts_drawn(loader, 2), drawn);
  EXPECT_EQ(loader.samples(), draws);
}

TEST(CombineTest, TheExpectedSamplesOfDrawsAreTold) {
  // Parts with 5/3, 9/5 and 3 samples in a batch, drawn 2 : 1 : 1.
  const Loader loader = combine(three_parts(0), {.how = Combine::weighted, .weights = {2, 1, 1}, .batches = 60});
  EXPECT_EQ(loader.samples(), 30 * 5 / 3 + 15 * 9 / 5 + 15 * 3);
}

TEST(CombineTest, ABatchOfAllPartsHasNamesCountsAndEmptyTargets) {
  const Dataset inputs_only(at::arange(6));
  const Loader loader =
      combine({{"labelled", Loader(numbered(0, 4), {.batch_size = 2})},
               {"unlabelled", Loader(inputs_only, {.batch_size = 3, .count = [](const Batch&) { return 100; }})}});
  Pass pass = loader.epoch(1);
  const Batch& batch = *pass.next();
  EXPECT_EQ(batch.input.describe(), "{labelled: int64 (2), unlabelled: int64 (3)}");
  EXPECT_EQ(batch.target.describe(), "{labelled: int64 (2), unlabelled: nothing}");
  EXPECT_EQ(batch.samples, 102);
}

TEST(CombineTest, PartsAreListedAndAPlainLoaderIsItsOnlyPart) {
  const Loader both = combine(three_parts(0));
  ASSERT_THAT(both.parts(), SizeIs(3));
  EXPECT_EQ(both.parts()[1].name, "b");
  EXPECT_EQ(both.parts()[1].loader.dataset().size(), 9);
  const Loader plain(numbered(0, 5));
  ASSERT_THAT(plain.parts(), SizeIs(1));
  EXPECT_EQ(plain.parts()[0].name, "");
  EXPECT_EQ(&plain.parts()[0].loader.dataset(), &plain.dataset());
}

TEST(CombineTest, CombinationsNest) {
  for (int workers : {0, 2}) {
    const Loader inner = combine(three_parts(workers), {.how = Combine::alternate});
    const Loader zipped = combine({{"x", inner}, {"y", Loader(numbered(5, 4), {.batch_size = 1})}});
    EXPECT_EQ(zipped.batches(), 9);
    EXPECT_EQ(zipped.samples(), 17 + 9);
    Pass pass = zipped.epoch(1, 4);
    const Batch& batch = *pass.next();
    EXPECT_THAT(numbers_in(batch.target["x"].tensor()), ElementsAre(1002, 1003));
    EXPECT_THAT(numbers_in(batch.target["y"].tensor()), ElementsAre(5000));
    // The outermost combination says which part it is.
    const Loader turns = combine({{"y", Loader(numbered(5, 2))}, {"x", inner}, {"z", combine(three_parts(0))}},
                                 {.how = Combine::in_turn});
    std::vector<int32_t> seen;
    Pass all = turns.epoch(1);
    for (const Batch& each : all) seen.push_back(each.part);
    std::vector<int32_t> expected{0};
    expected.insert(expected.end(), 9, 1);
    expected.insert(expected.end(), 5, 2);
    EXPECT_EQ(seen, expected);
  }
}

struct Huge {
  int64_t size_of_it = int64_t{1} << 40;
  std::shared_ptr<std::atomic<int>> asked = std::make_shared<std::atomic<int>>(0);
  [[nodiscard]] int64_t size() const { return size_of_it; }
  [[nodiscard]] Sample get(int64_t index) const {
    ++*asked;
    return {index, index};
  }
};

TEST(CombineTest, ResumingFarInsideAHugeEpochMakesOneBatchOnly) {
  for (Combine how :
       {Combine::in_turn, Combine::alternate, Combine::zip_shortest, Combine::zip_longest, Combine::weighted}) {
    const Huge a;
    const Huge b{.size_of_it = int64_t{1} << 39};
    const Loader loader = combine(
        {{"a", Loader(a, {.batch_size = 4, .shuffle = true})}, {"b", Loader(b, {.batch_size = 4, .shuffle = true})}},
        {.how = how, .weights = how == Combine::weighted ? std::vector<double>{1, 2} : std::vector<double>{}});
    const int64_t first = how == Combine::weighted ? 100000 : loader.batches() - 1;
    Pass pass = loader.epoch(1, first);
    ASSERT_NE(pass.next(), nullptr);
    EXPECT_EQ(*a.asked + *b.asked, how == Combine::zip_shortest || how == Combine::zip_longest ? 8 : 4);
  }
}

TEST(CombineTest, TensorsThatNobodyHoldsAreUsedAgain) {
  for (int workers : {0, 2}) {
    for (Combine how : {Combine::in_turn, Combine::alternate, Combine::zip_shortest, Combine::zip_longest}) {
      const LoaderOptions options{.batch_size = 4, .workers = workers};
      const Loader loader =
          combine({{"a", Loader(rows(4000), options)}, {"b", Loader(rows(4000), options)}}, {.how = how});
      std::set<const void*> addresses;
      Pass pass = loader.epoch(1);
      for (const Batch& batch : pass) addresses.insert(batch.input.first_tensor().data_ptr());
      EXPECT_LE(addresses.size(), 2 * (static_cast<size_t>(workers) * 2 + 1)) << static_cast<int>(how);
    }
  }
}

TEST(CombineTest, ACopyOfABatchStaysAsItIs) {
  for (int workers : {0, 2}) {
    for (const auto& [options, length] : ways_and_lengths()) {
      const Batches expected = rest_of(combine(three_parts(0), options).epoch(1), zips(options));
      std::vector<Batch> kept;
      Pass pass = combine(three_parts(workers), options).epoch(1);
      for (const Batch& batch : pass) kept.push_back(batch);
      Batches later;
      for (const Batch& batch : kept) later.push_back(numbers_of(batch, zips(options)));
      EXPECT_EQ(later, expected);
    }
  }
}

TEST(CombineTest, LeavingEarlyNeitherHangsNorThrows) {
  for (int round = 0; round < 20; ++round) {
    for (const auto& [options, length] : ways_and_lengths()) {
      const Loader loader = combine(three_parts(1 + round % 3, true), options);
      Pass pass = loader.epoch(round);
      for (size_t taken = 0; taken < std::min<size_t>(length, static_cast<size_t>(round) % 4); ++taken) {
        ASSERT_NE(pass.next(), nullptr);
      }
    }
  }
}

TEST(CombineTest, TheEndIsTheEndAlsoWhenAskedAgain) {
  for (const auto& [options, length] : ways_and_lengths()) {
    Pass pass = combine(three_parts(0), options).epoch(1, static_cast<int64_t>(length) - 1);
    EXPECT_NE(pass.next(), nullptr);
    EXPECT_EQ(pass.next(), nullptr);
    EXPECT_EQ(pass.next(), nullptr);
  }
}

}  // namespace
}  // namespace athanor::combine_test
