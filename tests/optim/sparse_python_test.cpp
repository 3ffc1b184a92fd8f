// SPDX-License-Identifier: Apache-2.0
// Sparse gradients, and the optimizers on fused kernels that take dense ones too, beside Python.
#include "tests/optim/random_problems.hpp"

namespace athanor::testing::random_problems {
namespace {

TEST(SparseGradientsPython, RandomProblemsEndWithPythonsNumbers) {
  expect_agreement_with_python("SGD Adagrad SparseSGD SparseAdagrad SparseAdam");
}

}  // namespace
}  // namespace athanor::testing::random_problems
