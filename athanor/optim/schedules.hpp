// SPDX-License-Identifier: Apache-2.0
// The schedules that the library has. All are per update unless they say otherwise, and count from 0 as torch does.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>

#include "athanor/core/duration.hpp"
#include "athanor/optim/schedule.hpp"

namespace athanor::schedules {

/// Any function of the number of updates so far (Cadence::step) or of whole epochs so far (Cadence::epoch), as
/// `torch.optim.lr_scheduler.LambdaLR`. Throws Error for Cadence::value.
[[nodiscard]] Schedule lambda(std::function<double(int64_t)> function, Cadence cadence);

/// From `start_factor` in a straight line to 1, then 1, as `LinearLR`. Epochs are taken with their fraction. With the
/// default the first update changes nothing. Throws Error for a length that is not above 0 or not in steps or epochs,
/// and for a factor below 0.
[[nodiscard]] Schedule linear_warmup(Duration length, double start_factor = 0);

/// Half a cosine from 1 down to `min_factor` (Loshchilov & Hutter, 2017), as `CosineAnnealingLR`; then `min_factor`.
/// Without a length over the whole run, which has to be known then. Throws Error as `linear_warmup`.
[[nodiscard]] Schedule cosine(double min_factor = 0, std::optional<Duration> length = {});

/// Times `gamma` after each `size`, as `StepLR`. Throws Error as `linear_warmup`.
[[nodiscard]] Schedule step(Duration size, double gamma = 0.1);

/// One after the other, as `SequentialLR`: each begins where the one before it ends, at time 0 of its own. The last one
/// gets the rest of the run. Steps and epochs may be mixed: an epoch is taken to have as many updates as the others.
/// Throws Error when it is empty, when a part that is not the last has no length of its own, and when a part is for
/// another field than the first.
[[nodiscard]] Schedule sequence(std::initializer_list<Schedule> parts);

}  // namespace athanor::schedules
