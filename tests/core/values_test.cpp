// SPDX-License-Identifier: Apache-2.0
// Named numbers: a missing name is told, order is kept, merging prefixes.
#include "athanor/core/values.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/error_of.hpp"

namespace athanor::values_test {
namespace {

using ::testing::ElementsAre;

TEST(ValuesTest, AMissingNameIsRefusedWithTheNamesThatAreThere) {
  const Values values{{"val_loss", 0.5}, {"val_acc", 0.9}};
  const auto parts = error_of([&] { static_cast<void>(values["val_f1"]); });
  EXPECT_EQ(parts.what, "there is no value 'val_f1'");
  EXPECT_EQ(parts.got, "val_f1");
  EXPECT_EQ(parts.expected, "one of val_loss, val_acc");
  EXPECT_FALSE(values.find("val_f1").has_value());
}

TEST(ValuesTest, ReadsByNameAndKeepsTheOrderOfInsertion) {
  Values values;
  EXPECT_TRUE(values.empty());
  values.set("z", 1);
  values.set("a", 2);
  values.set("z", 3);
  EXPECT_EQ(values.size(), 2U);
  EXPECT_EQ(values["z"], 3);
  EXPECT_EQ(values.find("a"), 2);
  EXPECT_THAT(values.names(), ElementsAre("z", "a"));
}

TEST(ValuesTest, MergingPutsThePrefixBeforeEachNameAndWritesOverEqualOnes) {
  Values values{{"loss", 1}, {"val_loss", 2}};
  values.merge({{"loss", 3}, {"acc", 4}}, "val_");
  EXPECT_EQ(values, (Values{{"loss", 1}, {"val_loss", 3}, {"val_acc", 4}}));
  values.merge({{"loss", 5}});
  EXPECT_EQ(values["loss"], 5);
}

TEST(ValuesTest, EqualityLooksAtNamesNumbersAndOrder) {
  EXPECT_EQ((Values{{"a", 1}, {"b", 2}}), (Values{{"a", 1}, {"b", 2}}));
  EXPECT_NE((Values{{"a", 1}, {"b", 2}}), (Values{{"b", 2}, {"a", 1}}));
  EXPECT_NE((Values{{"a", 1}}), (Values{{"a", 2}}));
}

}  // namespace
}  // namespace athanor::values_test
