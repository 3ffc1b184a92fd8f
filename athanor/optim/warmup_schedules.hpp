// SPDX-License-Identifier: Apache-2.0
// Warm-ups, and the schedules of language-model recipes that begin with one.
//
//     .schedule = schedules::sequence({schedules::linear_warmup(500_steps), schedules::step(30_epochs)})
//     .schedule = schedules::linear_then_cosine(2000_steps, {.min_factor = 0.1})
#pragma once

#include <optional>

#include "athanor/core/duration.hpp"
#include "athanor/optim/schedule.hpp"

namespace athanor::schedules {

/// A warm-up goes from `start_factor` to 1, the base rate, and stays there: alone it ends, in a `sequence` the next
/// part begins. Epochs are taken with their fraction. All of them throw Error for a length that is not above 0 or not
/// in steps or epochs, and for a start below 0 or above 1, the base rate.
///
/// In a straight line. With the default the first update changes nothing.
[[nodiscard]] Schedule linear_warmup(Duration length, double start_factor = 0);
/// By the same factor with each update; the start must be above 0.
[[nodiscard]] Schedule exponential_warmup(Duration length, double start_factor = 1e-3);
/// The start for the whole length, then 1 at once.
[[nodiscard]] Schedule constant_warmup(Duration length, double start_factor = 0.1);

/// A linear warm-up from `start_factor`, then sqrt(warmup / time) without end (Vaswani et al., 2017; the base rate is
/// the highest). Throws Error as the warm-ups.
[[nodiscard]] Schedule inverse_square_root(Duration warmup, double start_factor = 0);

struct LinearThenCosineOptions {
  double min_factor = 0;                ///< Where the cosine ends.
  double start_factor = 0;              ///< Where the warm-up begins, at most 1.
  std::optional<Duration> length = {};  ///< Of both together, in the unit of the warm-up; unset: the whole run.
};
/// A linear warm-up, then half a cosine: a `sequence` of the two. Throws Error as the warm-ups, and for a length that
/// is not longer than the warm-up.
[[nodiscard]] Schedule linear_then_cosine(Duration warmup, const LinearThenCosineOptions& options = {});

/// How a decay falls while its progress p goes from 0 to 1.
enum class DecayShape {
  linear,         ///< 1 - p
  cosine,         ///< (1 + cos πp) / 2
  one_minus_sqrt  ///< 1 - √p (Hägele et al., 2024)
};

struct WarmupStableDecayOptions {
  Duration warmup = Duration::steps(0);  ///< Needed, as is `decay`; each in steps or epochs.
  Duration decay = Duration::steps(0);
  double min_factor = 0;    ///< Where the decay ends.
  double start_factor = 0;  ///< Where the warm-up begins, at most 1.
  DecayShape shape = DecayShape::linear;
  std::optional<Duration> length = {};  ///< Of all three together; unset: the whole run.
};
/// A linear warm-up, the base rate, and a decay that ends with the run (Hu et al., 2024). Where the run is shorter than
/// both together, the decay begins within the warm-up. Throws Error as the warm-ups.
[[nodiscard]] Schedule warmup_stable_decay(const WarmupStableDecayOptions& options);

}  // namespace athanor::schedules
