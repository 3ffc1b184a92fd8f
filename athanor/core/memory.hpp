// SPDX-License-Identifier: Apache-2.0
// How much memory the process has.
#pragma once

#include <cstdint>

namespace athanor {

struct ProcessMemory {
  int64_t resident_bytes = 0;  ///< Now; 0 where the system does not say.
  int64_t peak_bytes = 0;      ///< The most that was resident so far.
};

/// Reads /proc, some 20 us. From any thread.
[[nodiscard]] ProcessMemory process_memory();

}  // namespace athanor
