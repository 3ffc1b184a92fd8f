// SPDX-License-Identifier: Apache-2.0
// L1 and L2 by parameter pattern.
#pragma once

#include <string>

namespace athanor {

/// Adds `l1` x the sum of absolute values and `l2` x the sum of squares of some parameters to what is differentiated,
/// once for each update. The loss is shown without it; the value `penalty` is its size.
struct Penalty {
  std::string pattern = "*";  ///< Names of parameters; `*` and `?` stand for anything.
  double l1 = 0;
  double l2 = 0;
};

}  // namespace athanor
