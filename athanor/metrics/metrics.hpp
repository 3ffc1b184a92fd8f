// SPDX-License-Identifier: Apache-2.0
// All metrics.
#pragma once

#include "athanor/metrics/accumulate.hpp"        // IWYU pragma: export
#include "athanor/metrics/accumulator.hpp"       // IWYU pragma: export
#include "athanor/metrics/accuracy.hpp"          // IWYU pragma: export
#include "athanor/metrics/confusion_matrix.hpp"  // IWYU pragma: export
#include "athanor/metrics/keep_all.hpp"          // IWYU pragma: export
#include "athanor/metrics/mean.hpp"              // IWYU pragma: export
#include "athanor/metrics/metric.hpp"            // IWYU pragma: export
#include "athanor/metrics/precision_recall.hpp"  // IWYU pragma: export
#include "athanor/metrics/r2.hpp"                // IWYU pragma: export
#include "athanor/metrics/reductions.hpp"        // IWYU pragma: export
#include "athanor/metrics/regression.hpp"        // IWYU pragma: export
#include "athanor/metrics/weighted_mean.hpp"     // IWYU pragma: export
