// SPDX-License-Identifier: Apache-2.0
// Sorting of many scores; shared by the metrics, not for use outside.
#pragma once

#include <vector>

namespace athanor::metrics::detail {

/// Sorts numbers without NaN in ascending order, by the digits of their bits, on LibTorch's threads. Takes
/// as much memory twice more. The result does not depend on the number of threads.
void sort_ascending(std::vector<float>& values);
void sort_ascending(std::vector<double>& values);

}  // namespace athanor::metrics::detail
