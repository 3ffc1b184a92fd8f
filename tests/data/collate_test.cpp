// SPDX-License-Identifier: Apache-2.0
// Stacking samples and joining batches: the sample that does not fit is named, structures are kept.
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "athanor/data/concatenate.hpp"
#include "athanor/data/dataset.hpp"
#include "tests/core/error_of.hpp"
#include "tests/data/sources.hpp"

namespace athanor::collate_test {
namespace {

using ::testing::ElementsAre;

const std::vector<int64_t> names{11, 22, 33};

Error::Parts misfit(const Tree& first, const Tree& third) {
  const std::vector<Sample> samples{{first}, {first}, {third}};
  return error_of([&] { static_cast<void>(collate(samples, names)); });
}

TEST(CollateTest, TheFirstSampleOfAnotherShapeIsNamed) {
  const auto parts = misfit(at::zeros({2, 3}), at::zeros({2, 4}));
  EXPECT_EQ(parts.what, "samples of one batch differ in shape, dtype or structure");
  EXPECT_EQ(parts.where, "input of sample 33");
  EXPECT_EQ(parts.got, "float32 (2, 4)");
  EXPECT_EQ(parts.expected, "float32 (2, 3), as in sample 11");
  EXPECT_FALSE(parts.todo.empty());
}

TEST(CollateTest, AnotherTypeKindLengthOrNameIsNamedWithItsPath) {
  EXPECT_EQ(misfit(at::zeros({2}), at::zeros({2}, at::kLong)).got, "int64 (2)");
  EXPECT_EQ(misfit(1, 0.5).got, "0.5000");
  EXPECT_EQ(misfit(Tree{{"a", 1}}, Tree{{"a", at::zeros({})}}).where, "input.a of sample 33");
  EXPECT_EQ(misfit(Tree::list({1, Tree::list({at::zeros({2})})}), Tree::list({1, Tree::list({at::zeros({3})})})).where,
            "input.1.0 of sample 33");
  EXPECT_EQ(misfit(Tree::list({1, 2}), Tree::list({1})).got, "[1]");
  EXPECT_EQ(misfit(Tree{{"a", 1}, {"b", 2}}, Tree{{"a", 1}}).got, "{a: 1}");
  const auto parts = misfit(Tree{{"a", 1}, {"b", 2}}, Tree{{"a", 1}, {"c", 2}});
  EXPECT_EQ(parts.where, "input of sample 33");
  EXPECT_EQ(parts.got, "{a: 1, c: 2}");
}

TEST(CollateTest, AMissingTargetIsNamed) {
  const std::vector<Sample> samples{{1, 1}, {1}, {1, 1}};
  const auto parts = error_of([&] { static_cast<void>(collate(samples, names)); });
  EXPECT_EQ(parts.where, "target of sample 22");
  EXPECT_EQ(parts.got, "nothing");
}

TEST(CollateTest, SomethingThatIsNoTensorIsRefused) {
  const Tree leaf{at::Tensor()};
  const auto parts = misfit(Tree{{"name", leaf}}, Tree{{"name", leaf}});
  EXPECT_EQ(parts.what, "a sample holds something that can't be part of a batch");
  EXPECT_EQ(parts.where, "input.name of sample 11");
  EXPECT_EQ(parts.got, leaf.describe());
  EXPECT_EQ(parts.expected, "a tensor, a number, a text or a list of texts");
}

TEST(CollateTest, TextsBecomeAListWithOneForEachSample) {
  const auto texts = [](std::vector<std::string> all) { return Tree(Tree::List(all.begin(), all.end())); };
  const std::vector<Sample> samples{{at::zeros({2}), Tree{{"said", "a"}, {"right", texts({"b"})}}},
                                    {at::zeros({2}), Tree{{"said", "c"}, {"right", texts({"d", "e"})}}},
                                    {at::zeros({2}), Tree{{"said", "f"}, {"right", texts({"g"})}}}};
  const Batch batch = collate(samples, names);
  EXPECT_EQ(batch.target.describe(), Tree({{"said", texts({"a", "c", "f"})},
                                           {"right", Tree::list({texts({"b"}), texts({"d", "e"}), texts({"g"})})}})
                                         .describe());
  const Batch last = batch.slice(1, 3);
  EXPECT_EQ(last.target["said"].describe(), texts({"c", "f"}).describe());
  EXPECT_EQ(last.target["right"].describe(), Tree::list({texts({"d", "e"}), texts({"g"})}).describe());
  const Batch whole = concatenate_batches({batch.slice(0, 1), last});
  EXPECT_EQ(whole.target.describe(), batch.target.describe());
  EXPECT_EQ(misfit(Tree("cat"), texts({"cat"})).got, texts({"cat"}).describe());
  EXPECT_EQ(misfit(texts({"cat"}), Tree(1)).where, "input of sample 33");
}

TEST(CollateTest, NoSamplesAreAnEmptyBatch) {
  const Batch batch = collate({}, {});
  EXPECT_TRUE(batch.input.empty());
  EXPECT_EQ(batch.samples, 0);
}

TEST(CollateTest, SamplesAreStackedLeafByLeafInOrder) {
  std::vector<Sample> samples;
  for (int64_t i = 0; i < 3; ++i) {
    samples.push_back({Tree{{"row", at::arange(i, i + 2)}, {"list", Tree::list({i, i * 0.5, i == 1})}}, i});
  }
  // Entries may come in another order.
  samples[1].input = Tree{{"list", samples[1].input["list"]}, {"row", samples[1].input["row"]}};
  const Batch batch = collate(samples, names);
  EXPECT_EQ(batch.input.describe(), "{row: int64 (3, 2), list: [int64 (3), float32 (3), bool (3)]}");
  EXPECT_THAT(numbers_in(batch.input["row"].tensor()), ElementsAre(0, 1, 1, 2, 2, 3));
  EXPECT_THAT(numbers_in(batch.input["list"][0].tensor()), ElementsAre(0, 1, 2));
  EXPECT_EQ(batch.input["list"][1].tensor()[1].item<float>(), 0.5F);
  EXPECT_THAT(numbers_in(batch.input["list"][2].tensor()), ElementsAre(0, 1, 0));
  EXPECT_THAT(numbers_in(batch.target.tensor()), ElementsAre(0, 1, 2));
  EXPECT_EQ(batch.samples, 3);
}

TEST(CollateTest, NothingOfTheGraphOfASampleIsKept) {
  const std::vector<Sample> samples{{at::ones({2}).requires_grad_()}, {at::ones({2}).requires_grad_()}};
  EXPECT_FALSE(collate(samples, names).input.tensor().requires_grad());
}

TEST(ConcatenateTest, PartsThatDifferAreRefused) {
  EXPECT_EQ(error_of([] {
              static_cast<void>(concatenate({at::zeros({2}), Tree::list({at::zeros({2})})}));
            }).what,
            "two batches differ in structure");
  EXPECT_EQ(error_of([] { static_cast<void>(concatenate({Tree::list({at::zeros({2})}), Tree::list({})})); }).got, "[]");
  EXPECT_EQ(error_of([] {
              static_cast<void>(concatenate({Tree{{"a", at::zeros({1})}}, Tree{{"b", at::zeros({1})}}}));
            }).what,
            "a dictionary in a tree has no entry 'a'");
  const auto parts = error_of([] { static_cast<void>(concatenate({at::zeros({2, 3}), at::zeros({2, 4})})); });
  EXPECT_EQ(parts.what, "two batches differ in shape");
  EXPECT_EQ(parts.got, "float32 (2, 4)");
  EXPECT_EQ(parts.expected, "float32 (2, 3), but for the number of samples");
  EXPECT_EQ(error_of([] { static_cast<void>(concatenate({at::zeros({}), at::zeros({2})})); }).got, "float32 (2)");
}

TEST(ConcatenateTest, JoinsLeafByLeafWithARaggedEnd) {
  EXPECT_TRUE(concatenate({}).empty());
  const Tree joined = concatenate({Tree{{"x", at::arange(3)}, {"y", Tree::list({at::zeros({3, 2})})}},
                                   Tree{{"x", at::arange(2)}, {"y", Tree::list({at::zeros({2, 2})})}}});
  EXPECT_EQ(joined.describe(), "{x: int64 (5), y: [float32 (5, 2)]}");
  EXPECT_THAT(numbers_in(joined["x"].tensor()), ElementsAre(0, 1, 2, 0, 1));
  EXPECT_EQ(concatenate({at::ones({}), at::zeros({})}).describe(), "float32 (2)");
}

}  // namespace
}  // namespace athanor::collate_test
