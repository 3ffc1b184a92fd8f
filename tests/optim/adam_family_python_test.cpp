// SPDX-License-Identifier: Apache-2.0
// Adam and its relatives beside Python, and all classes beside recorded references.
#include "tests/optim/random_problems.hpp"

namespace athanor::testing::random_problems {
namespace {

TEST(AdamFamilyPython, RandomProblemsEndWithPythonsNumbers) {
  expect_agreement_with_python("Adam AdamW NAdam RAdam Adamax LAMB");
}

// Every class once, written down when the reference was made: also where Python has no torch.
TEST(OptimizersRecorded, OursAgreeWithTheReferences) {
  const std::vector<Problem> problems = read_problems(ATHANOR_SOURCE_DIR "/tests/optim/optimizers_reference.txt");
  EXPECT_EQ(problems.size(), 21U);
  for (const Problem& problem : problems) expect_agreement(problem);
}

}  // namespace
}  // namespace athanor::testing::random_problems
