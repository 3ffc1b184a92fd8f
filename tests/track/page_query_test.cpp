// SPDX-License-Identifier: Apache-2.0
// What a request may say.
#include "athanor/track/page_query.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace athanor::testing::page_query_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using track::curves_query;
using track::RunAxis;

TEST(PageQueries, AreReadByName) {
  const track::CurvesQuery query = curves_query({{"runs", "0,12,3"},
                                                 {"name", "s:train_loss"},
                                                 {"name", "e:val_loss"},
                                                 {"x", "epoch"},
                                                 {"from", "-1.5"},
                                                 {"to", "1e3"},
                                                 {"columns", "900"},
                                                 {"smoothing", "0.6"}});
  EXPECT_THAT(query.runs, ElementsAre(0, 12, 3));
  EXPECT_THAT(query.names, ElementsAre("s:train_loss", "e:val_loss"));
  EXPECT_EQ(query.axis, RunAxis::epoch);
  EXPECT_EQ(query.request.from, -1.5);
  EXPECT_EQ(query.request.to, 1e3);
  EXPECT_EQ(query.request.columns, 900u);
  EXPECT_EQ(query.request.smoothing, 0.6);
}

TEST(PageQueries, WhatCanNotBeReadHasItsDefault) {
  const track::CurvesQuery plain = curves_query({}), odd = curves_query({{"runs", ",,x"},
                                                                         {"x", "?"},
                                                                         {"from", "1e999"},
                                                                         {"to", "12x"},
                                                                         {"columns", "-4"},
                                                                         {"smoothing", "nan"}});
  EXPECT_THAT(odd.runs, IsEmpty());
  EXPECT_EQ(odd.axis, RunAxis::step);
  EXPECT_EQ(odd.request.from, plain.request.from);
  EXPECT_EQ(odd.request.to, plain.request.to);
  EXPECT_EQ(odd.request.columns, plain.request.columns);
  EXPECT_EQ(odd.request.smoothing, 0);
  EXPECT_EQ(track::page_number({{"run", "18446744073709551616"}}, "run", 7), 7u);
}

TEST(PageQueries, AreBounded) {
  std::string runs = "0";
  for (int i = 1; i < 1000; ++i) runs += "," + std::to_string(i);
  const track::CurvesQuery query =
      curves_query({{"runs", runs}, {"name", "a"}, {"name", "b"}, {"columns", "1000000"}, {"smoothing", "2"}});
  EXPECT_THAT(query.runs, SizeIs(200));
  EXPECT_EQ(query.request.columns, 4000u);
  EXPECT_LT(query.request.smoothing, 1);
}

}  // namespace
}  // namespace athanor::testing::page_query_test
