// SPDX-License-Identifier: Apache-2.0
// Exponentials in vector registers; shared by the metrics, not for use outside.
#pragma once

#include <cstdint>

namespace athanor::metrics::detail {

/// Replaces each value, which is 0 or less, by its exponential, right to 2 units in the last place; below -708 the
/// exponential of -708. NaN stays NaN. A few hundred values at once take a fifth of the time of as many calls of
/// std::exp.
void exponentials_below_zero(double* values, int64_t count) noexcept;

}  // namespace athanor::metrics::detail
