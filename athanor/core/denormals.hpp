// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace athanor {

/// For as long as it lives, numbers below the smallest normal one (1.2e-38 in float32, 2.2e-308 in float64) count as
/// zero in this thread and in those that LibTorch's operators use from it. Afterwards they are as they were in this
/// thread. On x86-64 and 64-bit ARM; no effect elsewhere.
///
/// Why: a processor takes a hundred times longer for such a denormal number, and Adam makes many of them. The moments
/// of a weight that gets no gradient any more, such as that of a pixel which is always black, decay towards zero and
/// stay there among the denormals. What they would add to a weight is below 1e-33.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

  /// False where they were flushed before, or can't be.
  [[nodiscard]] bool in_use() const noexcept;

 private:
  uint64_t before_ = 0;
};

}  // namespace athanor
