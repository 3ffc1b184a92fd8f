// SPDX-License-Identifier: Apache-2.0
// Trees through JSON to the same bits, and JSON that is none of ours.
#include "athanor/checkpoint/tree_json.hpp"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>

#include <bit>
#include <limits>
#include <random>

#include "athanor/core/state.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::tree_json_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Tree back(const Tree& tree) { return tree_from_json(tree_to_json(tree), "test"); }

TEST(TreeJson, KeepsEveryKindInItsOrder) {
  const Tree tree{{"z", 1},
                  {"a", Tree::list({Tree(true), Tree(), Tree("text \" \n ü"), Tree(-0.0), Tree(3.0)})},
                  {"", Tree::Dictionary{}},
                  {"$real", 2},
                  {"$$", Tree::List{}},
                  {"deep", {{"$tensor", "no tensor"}}},
                  {"bytes", std::string("\xff\x00z", 3)}};
  const Tree read = back(tree);
  EXPECT_THAT(compare_states(tree, read), IsEmpty());
  ASSERT_EQ(read.size(), tree.size());
  for (size_t i = 0; i < tree.size(); ++i) {
    EXPECT_EQ(read.entries()[i].first, tree.entries()[i].first);
    EXPECT_EQ(read.entries()[i].second.kind(), tree.entries()[i].second.kind());
  }
}

TEST(TreeJson, KeepsTheBitsOfEveryNumber) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t bits = random();
    EXPECT_EQ(std::bit_cast<uint64_t>(back(Tree(std::bit_cast<double>(bits))).real()), bits);
    EXPECT_EQ(back(Tree(static_cast<int64_t>(bits))).integer(), static_cast<int64_t>(bits));
  }
  using Limits = std::numeric_limits<double>;
  for (const double value : {Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(), -Limits::quiet_NaN(),
                             Limits::denorm_min(), Limits::max(), -0.0, 1e22, 1.0}) {
    const Tree read = back(Tree(value));
    ASSERT_EQ(read.kind(), Tree::Kind::real);
    EXPECT_EQ(std::bit_cast<uint64_t>(read.real()), std::bit_cast<uint64_t>(value));
  }
  for (const int64_t value : {INT64_MAX, INT64_MIN, int64_t{0}}) EXPECT_EQ(back(Tree(value)).integer(), value);
}

TEST(TreeJson, TensorsGoByTheNamesThatTheyAreGiven) {
  const at::Tensor tensor = at::ones({2});
  const std::string json = tree_to_json(Tree{{"w", tensor}}, [](const at::Tensor&) { return std::string("file/w"); });
  EXPECT_THAT(json, HasSubstr("\"w\": {\"$tensor\": \"file/w\"}"));
  const Tree read = tree_from_json(json, "test", [&](const std::string& name) {
    EXPECT_EQ(name, "file/w");
    return tensor;
  });
  EXPECT_TRUE(read["w"].tensor().is_same(tensor));
  EXPECT_THAT(error_of([&] { static_cast<void>(back(Tree(tensor))); }).what, HasSubstr("can't be written as JSON"));
}

TEST(TreeJson, WhatIsNotOursIsRefusedAndNamed) {
  for (const char* json :
       {"", "{", "[1,]", "{\"a\": 1, \"a\": 2}", "18446744073709551615", "1e999", "{\"$real\": \"xyz\"}",
        "{\"$real\": 1}", "{\"$tensor\": \"w\"}", "{\"$bytes\": \"0\"}", "{\"$bytes\": \"zz\"}", "{\"$what\": \"x\"}",
        "{\"$real\": \"0\", \"b\": 1}", "nan", "\"\\ud800\"", "1 2"}) {
    const Error::Parts parts = error_of([&] { static_cast<void>(tree_from_json(json, "some file")); });
    EXPECT_EQ(parts.what, "this is not the JSON of a saved state") << json;
    EXPECT_EQ(parts.where, "some file");
  }
  const std::string deep(100000, '[');
  EXPECT_THAT(error_of([&] { static_cast<void>(tree_from_json(deep, "some file")); }).got,
              HasSubstr("too many levels"));
  EXPECT_THAT(error_of([] { static_cast<void>(tree_to_json(Tree{{std::string("\xff"), 1}})); }).got, HasSubstr("ff"));
}

}  // namespace
}  // namespace athanor::testing::tree_json_test
