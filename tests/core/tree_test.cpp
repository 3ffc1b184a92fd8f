// SPDX-License-Identifier: Apache-2.0
// Nested values: what is said when an access does not fit, and that mapping and walking keep the shape.
#include "athanor/core/tree.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/core/error_of.hpp"

namespace athanor::tree_test {
namespace {

using ::testing::ElementsAre;

Tree sample_tree() {
  return {{"image", at::zeros({2, 3})},
          {"boxes", Tree::list({at::ones({4}), at::arange(5)})},
          {"meta", Tree{{"name", "cat"}, {"count", 3}, {"score", 0.5}, {"seen", true}, {"none", Tree()}}}};
}

TEST(TreeTest, AnAccessToAnotherKindSaysWhatIsThereAndWhatWasAskedFor) {
  const Tree tree = sample_tree();
  auto parts = error_of([&] { static_cast<void>(tree["boxes"].tensor()); });
  EXPECT_EQ(parts.what, "a tree holds something else than was asked for");
  EXPECT_EQ(parts.got, "a list: [float32 (4), int64 (5)]");
  EXPECT_EQ(parts.expected, "a tensor");
  const Tree meta = tree["meta"];
  EXPECT_EQ(error_of([&] { static_cast<void>(tree["image"].items()); }).got, "a tensor: float32 (2, 3)");
  EXPECT_EQ(error_of([&] { static_cast<void>(tree["image"].entries()); }).expected, "a dictionary");
  EXPECT_EQ(error_of([&] { static_cast<void>(meta["name"].real()); }).expected, "a number");
  EXPECT_EQ(error_of([&] { static_cast<void>(meta["score"].integer()); }).got, "a number: 0.5000");
  EXPECT_EQ(error_of([&] { static_cast<void>(meta["count"].boolean()); }).got, "an integer: 3");
  EXPECT_EQ(error_of([&] { static_cast<void>(meta["seen"].integer()); }).got, "a boolean: true");
  EXPECT_EQ(error_of([&] { static_cast<void>(meta["count"].text()); }).expected, "a text");
  EXPECT_EQ(error_of([&] { static_cast<void>(Tree().tensor()); }).got, "nothing: nothing");
}

TEST(TreeTest, AMissingNameOrIndexIsToldWithWhatThereIs) {
  const Tree tree = sample_tree();
  auto parts = error_of([&] { static_cast<void>(tree["label"]); });
  EXPECT_EQ(parts.what, "a dictionary in a tree has no entry 'label'");
  EXPECT_EQ(parts.expected, "one of image, boxes, meta");
  parts = error_of([&] { static_cast<void>(tree["boxes"][2]); });
  EXPECT_EQ(parts.got, "index 2 of [float32 (4), int64 (5)]");
  EXPECT_EQ(parts.expected, "an index below 2");
  EXPECT_EQ(error_of([&] { static_cast<void>(tree["boxes"][-1]); }).got, "index -1 of [float32 (4), int64 (5)]");
  EXPECT_EQ(error_of([&] { static_cast<void>(tree["boxes"]["x"]); }).expected, "a dictionary");
  EXPECT_EQ(error_of([&] { static_cast<void>(tree[0]); }).expected, "a list");
}

TEST(TreeTest, InsertingIntoSomethingThatIsNoDictionaryIsRefused) {
  Tree number = 3;
  EXPECT_EQ(error_of([&] { number.at_or_insert("x"); }).expected, "a dictionary");
  EXPECT_EQ(number.integer(), 3);
}

TEST(TreeTest, EveryKindIsHeldAsGiven) {
  EXPECT_EQ(Tree().kind(), Tree::Kind::empty);
  EXPECT_EQ(Tree(true).kind(), Tree::Kind::boolean);
  EXPECT_EQ(Tree(7U).kind(), Tree::Kind::integer);
  EXPECT_EQ(Tree(7U).real(), 7);
  EXPECT_EQ(Tree(0.5F).kind(), Tree::Kind::real);
  EXPECT_EQ(Tree("text").text(), "text");
  EXPECT_EQ(Tree(at::zeros({1})).kind(), Tree::Kind::tensor);
  EXPECT_EQ(Tree(std::vector<at::Tensor>{at::zeros({1}), at::zeros({2})}).items().size(), 2U);
  const Tree pair = {{"a", "b"}};
  EXPECT_EQ(pair["a"].text(), "b");
  EXPECT_EQ(Tree(Tree::Dictionary{}).kind(), Tree::Kind::dictionary);
}

TEST(TreeTest, SizeCountsChildren) {
  EXPECT_EQ(Tree().size(), 0U);
  EXPECT_EQ(Tree(3).size(), 1U);
  EXPECT_EQ(Tree(at::zeros({5})).size(), 1U);
  EXPECT_EQ(sample_tree().size(), 3U);
  EXPECT_EQ(sample_tree()["boxes"].size(), 2U);
}

TEST(TreeTest, InsertingMakesADictionaryInOrderAndFindsAgain) {
  Tree tree;
  tree.at_or_insert("z") = 1;
  tree.at_or_insert("a") = 2;
  tree.at_or_insert("z") = 3;
  EXPECT_EQ(tree.describe(), "{z: 3, a: 2}");
  EXPECT_EQ(tree.find("a")->integer(), 2);
  EXPECT_EQ(tree.find("b"), nullptr);
  EXPECT_EQ(Tree(3).find("b"), nullptr);
}

TEST(TreeTest, MappingKeepsTheShapeAndOtherLeaves) {
  const Tree tree = sample_tree();
  const Tree mapped = tree.map([](const at::Tensor& tensor) { return tensor + 1; });
  EXPECT_EQ(mapped.describe(), tree.describe());
  EXPECT_EQ(mapped["image"].tensor().sum().item<float>(), 6);
  EXPECT_EQ(mapped["boxes"][1].tensor()[4].item<int64_t>(), 5);
  EXPECT_EQ(tree["image"].tensor().sum().item<float>(), 0);
  EXPECT_EQ(mapped["meta"]["name"].text(), "cat");
}

TEST(TreeTest, ACopySharesTensorsAndNothingElse) {
  const Tree tree = sample_tree();
  Tree copy = tree;
  copy.at_or_insert("meta").at_or_insert("count") = 4;
  EXPECT_EQ(tree["meta"]["count"].integer(), 3);
  EXPECT_TRUE(copy["image"].tensor().is_same(tree["image"].tensor()));
}

TEST(TreeTest, WalkingGivesEveryLeafWithItsPathDepthFirst) {
  std::vector<std::string> lines;
  sample_tree().walk([&](const std::string& path, const Tree& leaf) { lines.push_back(path + "=" + leaf.describe()); });
  EXPECT_THAT(lines, ElementsAre("image=float32 (2, 3)", "boxes.0=float32 (4)", "boxes.1=int64 (5)",
                                 "meta.name=\"cat\"", "meta.count=3", "meta.score=0.5000", "meta.seen=true"));
  lines.clear();
  Tree(3).walk([&](const std::string& path, const Tree&) { lines.push_back(path); }, "root");
  EXPECT_THAT(lines, ElementsAre("root"));
}

TEST(TreeTest, TensorsComeInTheOrderOfTheWalk) {
  const std::vector<at::Tensor> tensors = sample_tree().tensors();
  ASSERT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors[2].size(0), 5);
  EXPECT_EQ(sample_tree().first_tensor().dim(), 2);
  const Tree late = Tree::list({Tree(), 3, Tree::list({}), Tree{{"x", at::Tensor()}, {"y", at::ones({9})}}});
  EXPECT_EQ(late.first_tensor().size(0), 9);
  EXPECT_FALSE(Tree(3).first_tensor().defined());
}

TEST(TreeTest, ATensorThatIsThereAlreadyIsShared) {
  const Tree tree = Tree::list({at::zeros({2}), at::Tensor()});
  const Tree moved = tree.to(at::kCPU);
  EXPECT_TRUE(moved[0].tensor().is_same(tree[0].tensor()));
  EXPECT_FALSE(moved[1].tensor().defined());
  const Tree away = tree.to(at::kMeta);
  EXPECT_TRUE(away[0].tensor().is_meta());
}

TEST(TreeTest, DescribesTensorsAsPythonSpellsThem) {
  EXPECT_EQ(describe(at::Tensor()), "undefined");
  EXPECT_EQ(describe(at::zeros({})), "float32 ()");
  EXPECT_EQ(describe(at::zeros({32, 1}, at::kHalf)), "float16 (32, 1)");
  EXPECT_EQ(describe(at::zeros({1}, at::TensorOptions().device(at::kMeta))), "float32 (1) on meta");
  EXPECT_EQ(dtype_name(at::kBFloat16) + dtype_name(at::kDouble) + dtype_name(at::kByte) + dtype_name(at::kBool),
            "bfloat16float64uint8bool");
}

}  // namespace
}  // namespace athanor::tree_test
