// SPDX-License-Identifier: Apache-2.0
// The error type: what its message shows, and that the parts can be read one by one.
#include "athanor/core/error.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace athanor::error_test {
namespace {

TEST(ErrorTest, ShowsEveryPartOnALineOfItsOwn) {
  const Error error({.what = "the monitor 'val_f1' is not among the values of this run",
                     .where = "fit(), before the first step",
                     .got = "val_f1",
                     .expected = "one of train_loss, val_loss",
                     .todo = "name one of these"});
  EXPECT_STREQ(error.what(),
               "the monitor 'val_f1' is not among the values of this run\n"
               "  where:    fit(), before the first step\n"
               "  got:      val_f1\n"
               "  expected: one of train_loss, val_loss\n"
               "  to do:    name one of these");
}

TEST(ErrorTest, LeavesOutEmptyParts) {
  EXPECT_STREQ(Error({.what = "nothing to train"}).what(), "nothing to train");
  EXPECT_STREQ(Error({.what = "nothing to train", .todo = "unfreeze the net"}).what(),
               "nothing to train\n  to do:    unfreeze the net");
}

TEST(ErrorTest, IsCaughtAsARuntimeErrorAndKeepsItsParts) {
  try {
    throw Error({.what = "a", .where = "b", .got = "c", .expected = "d", .todo = "e"});
  } catch (const std::runtime_error& caught) {
    const auto& parts = dynamic_cast<const Error&>(caught).parts();
    EXPECT_EQ(parts.what + parts.where + parts.got + parts.expected + parts.todo, "abcde");
  }
}

}  // namespace
}  // namespace athanor::error_test
