// SPDX-License-Identifier: Apache-2.0
// All metrics.
#pragma once

#include "athanor/metrics/accumulate.hpp"         // IWYU pragma: export
#include "athanor/metrics/accumulator.hpp"        // IWYU pragma: export
#include "athanor/metrics/accuracy.hpp"           // IWYU pragma: export
#include "athanor/metrics/agreement.hpp"          // IWYU pragma: export
#include "athanor/metrics/bleu.hpp"               // IWYU pragma: export
#include "athanor/metrics/bleu_tokenizer.hpp"     // IWYU pragma: export
#include "athanor/metrics/calibration_error.hpp"  // IWYU pragma: export
#include "athanor/metrics/confusion_matrix.hpp"   // IWYU pragma: export
#include "athanor/metrics/correlation.hpp"        // IWYU pragma: export
#include "athanor/metrics/curves.hpp"             // IWYU pragma: export
#include "athanor/metrics/decoded.hpp"            // IWYU pragma: export
#include "athanor/metrics/detection.hpp"          // IWYU pragma: export
#include "athanor/metrics/edit_distance.hpp"      // IWYU pragma: export
#include "athanor/metrics/elementwise.hpp"        // IWYU pragma: export
#include "athanor/metrics/error_rate.hpp"         // IWYU pragma: export
#include "athanor/metrics/exact_match.hpp"        // IWYU pragma: export
#include "athanor/metrics/formula.hpp"            // IWYU pragma: export
#include "athanor/metrics/image_quality.hpp"      // IWYU pragma: export
#include "athanor/metrics/keep_all.hpp"           // IWYU pragma: export
#include "athanor/metrics/log_loss.hpp"           // IWYU pragma: export
#include "athanor/metrics/masks.hpp"              // IWYU pragma: export
#include "athanor/metrics/mean.hpp"               // IWYU pragma: export
#include "athanor/metrics/metric.hpp"             // IWYU pragma: export
#include "athanor/metrics/once.hpp"               // IWYU pragma: export
#include "athanor/metrics/overlap.hpp"            // IWYU pragma: export
#include "athanor/metrics/perplexity.hpp"         // IWYU pragma: export
#include "athanor/metrics/porter_stemmer.hpp"     // IWYU pragma: export
#include "athanor/metrics/precision_recall.hpp"   // IWYU pragma: export
#include "athanor/metrics/r2.hpp"                 // IWYU pragma: export
#include "athanor/metrics/rank_correlation.hpp"   // IWYU pragma: export
#include "athanor/metrics/ranking.hpp"            // IWYU pragma: export
#include "athanor/metrics/reductions.hpp"         // IWYU pragma: export
#include "athanor/metrics/regression.hpp"         // IWYU pragma: export
#include "athanor/metrics/rouge.hpp"              // IWYU pragma: export
#include "athanor/metrics/running.hpp"            // IWYU pragma: export
#include "athanor/metrics/segmentation.hpp"       // IWYU pragma: export
#include "athanor/metrics/span_scores.hpp"        // IWYU pragma: export
#include "athanor/metrics/tag_scheme.hpp"         // IWYU pragma: export
#include "athanor/metrics/text_input.hpp"         // IWYU pragma: export
#include "athanor/metrics/tracker.hpp"            // IWYU pragma: export
#include "athanor/metrics/weighted_mean.hpp"      // IWYU pragma: export
