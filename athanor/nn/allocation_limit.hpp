// SPDX-License-Identifier: Apache-2.0
// How much memory a thread may ask for while it builds a net that a file describes.
#pragma once

#include <cstdint>
#include <string>

namespace athanor::detail {

/// While it lives, what its thread asks of the CPU's allocator is added up, what it gives back included; beyond `bytes`
/// or `count` the request throws Error before memory is taken, with `where`. Other threads are not limited. LibTorch's
/// allocator is wrapped meanwhile and put back by the last of them; where the host has put one of a higher priority in
/// its place, nothing is limited. One at a time on a thread.
class AllocationLimit {
 public:
  AllocationLimit(uint64_t bytes, uint64_t count, std::string where);
  ~AllocationLimit();
  AllocationLimit(const AllocationLimit&) = delete;
  AllocationLimit& operator=(const AllocationLimit&) = delete;
};

}  // namespace athanor::detail
