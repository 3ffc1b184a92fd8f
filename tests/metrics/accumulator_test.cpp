// SPDX-License-Identifier: Apache-2.0
// Values that can be added up: any split, merged in any order, equals the whole.
#include "athanor/metrics/accumulator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "athanor/metrics/metrics.hpp"
#include "tests/core/error_of.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::accumulator_test {
namespace {

using metrics::testing::doubles;
using metrics::testing::floats;
using metrics::testing::labels;
using ::testing::HasSubstr;

/// A user's own: right and all pairs.
struct Pairs {
  int64_t right = 0;
  int64_t all = 0;
  void merge(const Pairs& other) {
    right += other.right;
    all += other.all;
  }
  [[nodiscard]] double compute() const { return static_cast<double>(right) / static_cast<double>(all); }
  void state(State& state) {
    state.value("right", right);
    state.value("all", all);
  }
};

struct Directed : Pairs {
  [[nodiscard]] Direction direction() const { return Direction::up; }
  [[nodiscard]] bool empty() const { return all == 0; }
  [[nodiscard]] bool live() const { return false; }
};

/// How the values from..to become an accumulator, and what the whole comes to, by a plain loop.
struct Kind {
  const char* name;
  std::function<Accumulator(const std::vector<int64_t>& part)> make;
  std::function<double(const std::vector<int64_t>& whole)> truth;
};

double sum_of(const std::vector<int64_t>& values) {
  return static_cast<double>(std::accumulate(values.begin(), values.end(), int64_t{0}));
}

double mean_of(const std::vector<int64_t>& values) { return sum_of(values) / static_cast<double>(values.size()); }

int64_t threes(const std::vector<int64_t>& values) {
  return std::count_if(values.begin(), values.end(), [](int64_t value) { return value % 3 == 0; });
}

double median(const at::Tensor& values, const at::Tensor&) { return values.median().item().toDouble(); }

std::vector<Kind> kinds() {
  return {
      // Means of eight values each are exact in binary, and so are their sums.
      {"WeightedMean", [](const auto& part) { return WeightedMean(mean_of(part), static_cast<double>(part.size())); },
       mean_of},
      {"Sum", [](const auto& part) { return Sum(doubles({sum_of(part)}).reshape({})); }, sum_of},
      {"Minimum",
       [](const auto& part) { return Minimum(static_cast<double>(*std::min_element(part.begin(), part.end()))); },
       [](const auto& whole) { return static_cast<double>(*std::min_element(whole.begin(), whole.end())); }},
      {"Maximum", [](const auto& part) { return Maximum(labels({*std::max_element(part.begin(), part.end())})); },
       [](const auto& whole) { return static_cast<double>(*std::max_element(whole.begin(), whole.end())); }},
      {"KeepAll", [](const auto& part) { return KeepAll(median, labels(part), Tree()); },
       [](std::vector<int64_t> whole) {
         std::sort(whole.begin(), whole.end());
         return static_cast<double>(whole[(whole.size() - 1) / 2]);  // LibTorch takes the lower one
       }},
      {"Pairs",
       [](const auto& part) {
         return Pairs{threes(part), static_cast<int64_t>(part.size())};
       },
       [](const auto& whole) { return static_cast<double>(threes(whole)) / static_cast<double>(whole.size()); }},
  };
}

TEST(Accumulator, AnySplitMergedInAnyOrderIsExactlyTheWhole) {
  for (const Kind& kind : kinds()) {
    for (uint32_t seed = 0; seed < 30; ++seed) {
      std::mt19937 random(seed);
      std::vector<int64_t> whole(8 * (1 + seed));
      for (int64_t& value : whole) value = static_cast<int64_t>(random() % 1000) - 500;

      std::vector<Accumulator> parts;
      for (size_t from = 0; from < whole.size();) {
        const size_t eights = 1 + random() % 3;
        const size_t to = std::min(whole.size(), from + 8 * (eights == 3 ? 4 : eights));
        parts.push_back(
            kind.make({whole.begin() + static_cast<int64_t>(from), whole.begin() + static_cast<int64_t>(to)}));
        from = to;
      }
      std::shuffle(parts.begin(), parts.end(), random);
      while (parts.size() > 1) {  // a random tree of merges
        const size_t into = random() % (parts.size() - 1);
        parts[into].merge(parts.back());
        parts.pop_back();
      }
      const double got =
          parts[0].compute().is_tensor() ? parts[0].compute().tensor().item().toDouble() : parts[0].compute().real();
      // 8 or 16 or 32 values to a part keep sums exact; the one division rounds alike.
      EXPECT_DOUBLE_EQ(got, kind.truth(whole)) << kind.name << ", seed " << seed;

      Accumulator fresh = kind.make({1, 2, 3, 4, 5, 6, 7, 8});
      load_state(fresh, save_state(parts[0]));
      const Tree again = fresh.compute();
      EXPECT_EQ(again.is_tensor() ? again.tensor().item().toDouble() : again.real(), got) << kind.name;
    }
  }
}

// Keras before 3, torchkeras and others: the short last batch counted as much as a full one.
TEST(Accumulator, TheShortLastBatchDoesNotCountAsMuchAsAFullOne) {
  Accumulator mean = WeightedMean(1.0, 32);
  mean.merge(WeightedMean(floats({9}), 4));
  EXPECT_DOUBLE_EQ(mean.compute().real(), (1.0 * 32 + 9.0 * 4) / 36);
  EXPECT_NE(mean.compute().real(), (1.0 + 9.0) / 2);
}

TEST(Accumulator, ACopyAccumulatesOnItsOwn) {
  for (const Kind& kind : kinds()) {
    const Accumulator original = kind.make({1, 2, 3, 4, 5, 6, 7, 8});
    Accumulator copy = original;
    copy.merge(kind.make({-800, 900, 900, 900, 900, 900, 900, 900}));
    copy.merge(kind.make({900, 900, 900, 900, 900, 900, 900, 900}));
    EXPECT_EQ(original.compute().describe(), kind.make({1, 2, 3, 4, 5, 6, 7, 8}).compute().describe()) << kind.name;
    EXPECT_NE(original.compute().describe(), copy.compute().describe()) << kind.name;
  }
}

TEST(Accumulator, RefusesAnotherKindAndNamesBoth) {
  Accumulator mean = WeightedMean(1.0, 1);
  const Error::Parts parts = error_of([&] { return mean.merge(Sum(1.0)), 0; });
  EXPECT_EQ(parts.what, "two accumulators of different kinds can't be merged");
  EXPECT_EQ(parts.got, "athanor::Sum");
  EXPECT_THAT(parts.expected, HasSubstr("athanor::WeightedMean"));
  EXPECT_EQ(mean.compute().real(), 1.0);
  Accumulator largest = Maximum(1.0);
  EXPECT_THROW(largest.merge(Minimum(0.0)), Error);
}

TEST(Accumulator, KnowsWhatAClassTells) {
  const Accumulator plain = Pairs{1, 2};
  EXPECT_EQ(plain.direction(), Direction::unknown);
  EXPECT_FALSE(plain.empty());
  EXPECT_TRUE(plain.live());
  const Accumulator directed = Directed{};
  EXPECT_EQ(directed.direction(), Direction::up);
  EXPECT_TRUE(directed.empty());
  EXPECT_FALSE(directed.live());
  EXPECT_FALSE(Accumulator(KeepAll(median)).live());
}

TEST(Accumulator, HandsOutTheHeldObjectUnderItsTypeOnly) {
  Accumulator sum = Sum(3.0);
  ASSERT_NE(sum.target<Sum>(), nullptr);
  sum.target<Sum>()->update(4.0);
  EXPECT_EQ(sum.compute().real(), 7.0);
  EXPECT_EQ(sum.target<WeightedMean>(), nullptr);
}

TEST(Accumulator, NothingIsNeutral) {
  const auto expect_neutral = [](auto nothing, auto something) {
    EXPECT_TRUE(nothing.empty());
    const double expected = something.compute();
    auto left = nothing;
    left.merge(something);
    EXPECT_EQ(left.compute(), expected);
    something.merge(nothing);
    EXPECT_EQ(something.compute(), expected);
    something.reset();
    EXPECT_TRUE(something.empty());
  };
  expect_neutral(WeightedMean(), WeightedMean(2.0, 3));
  expect_neutral(Sum(), Sum(-2.0));
  expect_neutral(Last(), Last(2.0));
  expect_neutral(Minimum(), Minimum(2.0));
  expect_neutral(Maximum(), Maximum(-2.0));
}

TEST(Accumulator, OfNothingHasNoValueButASum) {
  EXPECT_THAT(error_of([] { return WeightedMean().compute(); }).what, HasSubstr("before anything was seen"));
  EXPECT_THAT(error_of([] { return Last().compute(); }).what, HasSubstr("last value"));
  EXPECT_THAT(error_of([] { return Minimum().compute(); }).what, HasSubstr("minimum"));
  EXPECT_THAT(error_of([] { return Maximum().compute(); }).what, HasSubstr("maximum"));
  EXPECT_THAT(error_of([] { return KeepAll(median).compute(); }).what, HasSubstr("before anything was seen"));
  EXPECT_EQ(Sum().compute(), 0);
}

TEST(Accumulator, NaNIsNeverHidden) {
  const double nan = std::nan("");
  for (const auto& order : {std::vector<double>{1, nan, 3}, {nan, 1, 3}, {1, 3, nan}}) {
    WeightedMean mean;
    Sum sum;
    Minimum minimum;
    Maximum maximum;
    for (const double value : order) {
      mean.merge(WeightedMean(value, 1));
      sum.merge(Sum(value));
      minimum.merge(Minimum(value));
      maximum.merge(Maximum(floats({static_cast<float>(value)})));
    }
    EXPECT_TRUE(std::isnan(mean.compute()));
    EXPECT_TRUE(std::isnan(sum.compute()));
    EXPECT_TRUE(std::isnan(minimum.compute()));
    EXPECT_TRUE(std::isnan(maximum.compute()));
  }
}

TEST(Last, TheLaterOneWins) {
  Last last(1.0);
  last.update(floats({2}));
  EXPECT_EQ(last.compute(), 2);
  last.merge(Last(7.0));
  EXPECT_EQ(last.compute(), 7);
}

TEST(Reductions, RefuseWhatIsNoScalar) {
  EXPECT_THAT(error_of([] { return Sum(floats({1, 2})), 0; }).got, HasSubstr("float32 (2)"));
  EXPECT_THAT(error_of([] { return Last(at::Tensor()), 0; }).got, HasSubstr("undefined"));
  EXPECT_THAT(error_of([] { return Maximum(floats({}, {0})), 0; }).got, HasSubstr("float32 (0)"));
}

// A meta tensor has no values: reading one back throws. What was given is not written to.
TEST(Reductions, ReadNothingBackFromADevice) {
  const at::Tensor value = doubles({1}).reshape({}).to(at::kMeta);
  const auto version = value._version();
  const auto exercise = [&](auto accumulator) {
    accumulator.update(value);
    accumulator.update(value);
    auto copy = accumulator;
    copy.update(2.0);
    accumulator.merge(copy);
    EXPECT_FALSE(accumulator.empty());
    auto loaded = copy;
    load_state(loaded, save_state(accumulator));
  };
  exercise(Sum());
  exercise(Last());
  exercise(Minimum());
  exercise(Maximum());
  EXPECT_EQ(value._version(), version);
}

}  // namespace
}  // namespace athanor::accumulator_test
