// SPDX-License-Identifier: Apache-2.0
// What the processor can do, beside what Linux says of it.
#include "athanor/core/processor.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace athanor::processor_test {
namespace {

TEST(Processor, TilesForBfloat16AreThoseOfTheList) {
  std::ifstream file("/proc/cpuinfo");
  if (!file) GTEST_SKIP() << "no list of processors";
  std::string line;
  while (std::getline(file, line) && !line.starts_with("flags")) {
  }
  std::istringstream flags(line);
  bool listed = false;
  for (std::string flag; flags >> flag;) listed = listed || flag == "amx_bf16";
  EXPECT_EQ(has_bfloat16_tiles(), listed);
}

}  // namespace
}  // namespace athanor::processor_test
