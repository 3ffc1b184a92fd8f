// SPDX-License-Identifier: Apache-2.0
// The standard console, as the options of a run set it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::console_options_test {
namespace {

using namespace literals;
using ::testing::ContainsRegex;

TEST(ConsoleOptions, DigitsAndStreamComeFromTheRun) {
  std::ostringstream stream;
  Classifier task;
  TrainerOptions options = quiet(1_epochs);
  options.verbosity = Verbosity::quiet;
  options.digits = 2;
  options.stream = &stream;
  ::testing::internal::CaptureStdout();
  Trainer(options).fit(task, data_of(clouds(12)));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_THAT(stream.str(), ContainsRegex("train_loss [0-9]+\\.[0-9][0-9] "));
}

TEST(ConsoleOptions, RefusesDigitsThatNoNumberHas) {
  Classifier task;
  TrainerOptions options = quiet(1_epochs);
  options.digits = 18;
  EXPECT_EQ(error_of([&] { return Trainer(options).fit(task, data_of(clouds(12))); }).expected, "0 to 17 decimals");
}

}  // namespace
}  // namespace athanor::testing::console_options_test
