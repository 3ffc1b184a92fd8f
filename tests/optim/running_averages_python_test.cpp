// SPDX-License-Identifier: Apache-2.0
// Optimizers that step by signs, averages and running squares, and those around others, beside Python.
#include "tests/optim/random_problems.hpp"

namespace athanor::testing::random_problems {
namespace {

TEST(RunningAveragesPython, RandomProblemsEndWithPythonsNumbers) {
  expect_agreement_with_python("Adadelta RMSprop Rprop ASGD Lion Lookahead SAM");
}

}  // namespace
}  // namespace athanor::testing::random_problems
