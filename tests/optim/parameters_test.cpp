// SPDX-License-Identifier: Apache-2.0
// Parameters split into groups by patterns: the first that fits wins, one that fits nothing is told with what is near.
#include "athanor/optim/parameters.hpp"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "athanor/optim/adam.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::parameters_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Parameters named(const std::vector<std::string>& names) {
  Parameters parameters;
  for (const std::string& name : names) parameters.push_back({name, at::ones({1}).requires_grad_()});
  return parameters;
}

Parameters encoder() {
  return named({"encoder.0.weight", "encoder.0.bias", "encoder.norm.weight", "encoder.norm.bias", "head.weight"});
}

std::vector<std::string> names_of(const ParameterGroup& group) {
  std::vector<std::string> names;
  for (const Parameter& parameter : group.parameters) names.push_back(parameter.name);
  return names;
}

TEST(GroupParametersTest, TheFirstPatternThatFitsWinsAndTheRestComesFirst) {
  const ParameterGroups groups =
      group_parameters(encoder(), {{"*.norm.*", {.weight_decay = 0}}, {"*.bias", {.lr = 0.5}}});
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_THAT(names_of(groups[0]), ElementsAre("encoder.0.weight", "head.weight"));
  EXPECT_FALSE(groups[0].options.lr.has_value());
  EXPECT_FALSE(groups[0].options.weight_decay.has_value());
  EXPECT_THAT(names_of(groups[1]), ElementsAre("encoder.norm.weight", "encoder.norm.bias"));
  EXPECT_EQ(groups[1].options.weight_decay, 0);
  EXPECT_THAT(names_of(groups[2]), ElementsAre("encoder.0.bias"));
  EXPECT_EQ(groups[2].options.lr, 0.5);
}

TEST(GroupParametersTest, WhereEverythingFitsThereIsNoDefaultGroup) {
  const ParameterGroups groups = group_parameters(encoder(), {{"encoder.*"}, {"*"}});
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].parameters.size(), 4U);
  EXPECT_THAT(names_of(groups[1]), ElementsAre("head.weight"));
}

TEST(GroupParametersTest, WithoutPatternsAllIsOneGroup) {
  EXPECT_EQ(group_parameters(encoder(), {}).size(), 1U);
  EXPECT_THAT(group_parameters({}, {}), IsEmpty());
}

TEST(GroupParametersTest, AnOptimizerTakesTheGroups) {
  const auto adam = optim::AdamW({.lr = 0.1}).on(group_parameters(encoder(), {{"head.*", {.lr = 0.7}}}));
  EXPECT_EQ(adam->groups(), 2U);
  EXPECT_EQ(adam->lr(0), 0.1);
  EXPECT_EQ(adam->lr(1), 0.7);
}

TEST(GroupParametersTest, APatternThatFitsNothingIsToldWithTheNearestNames) {
  auto parts = error_of([] { return group_parameters(encoder(), {{"*.bias"}, {"hed.*"}}); });
  EXPECT_EQ(parts.what, "a pattern fits no parameter");
  EXPECT_EQ(parts.got, "hed.*");
  EXPECT_EQ(parts.expected, "such as head.weight");
  parts = error_of([] { return group_parameters(encoder(), {{"encodr.norm*"}}); });
  EXPECT_EQ(parts.expected, "such as encoder.norm.weight, encoder.norm.bias");
  parts = error_of([] { return group_parameters(encoder(), {{"bias"}}); });
  EXPECT_EQ(parts.expected, "such as encoder.0.bias, encoder.norm.bias");
  EXPECT_THAT(parts.todo, HasSubstr("whole name"));
  parts = error_of([] { return group_parameters(encoder(), {{"transformer"}}); });  // nothing is near: the first ones
  EXPECT_EQ(parts.expected, "such as encoder.0.weight, encoder.0.bias, encoder.norm.weight, encoder.norm.bias");
  EXPECT_THAT(error_of([] { return group_parameters({}, {{"*"}}); }).expected, HasSubstr("no parameters"));
}

TEST(GroupParametersTest, APatternWhoseParametersAreAllTakenIsTold) {
  const auto parts = error_of([] { return group_parameters(encoder(), {{"encoder.*"}, {"encoder.norm.*"}}); });
  EXPECT_EQ(parts.what, "every parameter that a pattern fits belongs to an earlier pattern");
  EXPECT_EQ(parts.got, "encoder.norm.*");
  EXPECT_THAT(parts.todo, Not(IsEmpty()));
}

}  // namespace
}  // namespace athanor::parameters_test
