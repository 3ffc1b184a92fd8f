// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/memory.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

namespace athanor {

ProcessMemory process_memory() {
  ProcessMemory memory;
  int64_t whole = 0, resident = 0;
  if (std::ifstream file("/proc/self/statm"); file >> whole >> resident) {
    memory.resident_bytes = resident * ::sysconf(_SC_PAGESIZE);
  }
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) memory.peak_bytes = int64_t{usage.ru_maxrss} * 1024;
  return memory;
}

}  // namespace athanor
