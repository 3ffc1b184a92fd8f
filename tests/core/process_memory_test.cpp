// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "athanor/core/memory.hpp"

namespace athanor::process_memory_test {
namespace {

TEST(ProcessMemoryTest, GrowsByWhatIsTouchedAndRemembersThePeak) {
  constexpr int64_t size = int64_t{64} << 20;
  const ProcessMemory before = process_memory();
  ASSERT_GT(before.resident_bytes, 0);
  ProcessMemory during;
  {
    std::vector<char> block(size);
    std::memset(block.data(), 1, block.size());
    during = process_memory();
    EXPECT_EQ(block[size / 2], 1);
  }
  // Others in the process may give some back meanwhile.
  EXPECT_GE(during.resident_bytes, before.resident_bytes + size / 2);
  EXPECT_GE(during.peak_bytes, during.resident_bytes - (int64_t{1} << 20));
  EXPECT_GE(process_memory().peak_bytes, during.peak_bytes);
}

}  // namespace
}  // namespace athanor::process_memory_test
