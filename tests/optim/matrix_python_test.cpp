// SPDX-License-Identifier: Apache-2.0
// Optimizers that look at a whole matrix or at all parameters at once beside Python.
#include "tests/optim/random_problems.hpp"

namespace athanor::testing::random_problems {
namespace {

TEST(MatricesPython, RandomProblemsEndWithPythonsNumbers) { expect_agreement_with_python("Adafactor Muon LBFGS"); }

}  // namespace
}  // namespace athanor::testing::random_problems
