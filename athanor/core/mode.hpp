// SPDX-License-Identifier: Apache-2.0
// Which way a watched value should go.
#pragma once

namespace athanor {

/// Whether the watched value should become small or large.
enum class Mode { min, max };

}  // namespace athanor
