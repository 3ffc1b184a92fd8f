// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/version.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace athanor::testing::version_test {
namespace {

TEST(Version, IsThatOfTheBuild) {
  std::ifstream file(ATHANOR_SOURCE_DIR "/CMakeLists.txt");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_NE(text.find("  VERSION " + std::string(version) + "\n"), std::string::npos);
}

}  // namespace
}  // namespace athanor::testing::version_test
