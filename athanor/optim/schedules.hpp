// SPDX-License-Identifier: Apache-2.0
// The schedules that the library has: all of torch.optim.lr_scheduler, warm-ups, and those of recipes for language
// models. All are per update unless they say otherwise, and count from 0 as torch does.
//
// A factor is a number that the field of each group, as the optimizer was made with, is multiplied by.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "athanor/core/duration.hpp"
#include "athanor/optim/cyclic_schedules.hpp"
#include "athanor/optim/plateau_schedule.hpp"
#include "athanor/optim/schedule.hpp"
#include "athanor/optim/schedule_combinations.hpp"
#include "athanor/optim/warmup_schedules.hpp"

namespace athanor::schedules {

/// Any function of the number of updates so far (Cadence::step) or of whole epochs so far (Cadence::epoch), as
/// `torch.optim.lr_scheduler.LambdaLR`. Throws Error for Cadence::value.
[[nodiscard]] Schedule lambda(std::function<double(int64_t)> function, Cadence cadence);

/// The product of function(1), …, function(n) after n updates or epochs, as `MultiplicativeLR`. The function is called
/// once for each n; a resumed run calls it for those before again. Throws Error as `lambda`.
[[nodiscard]] Schedule multiplicative(std::function<double(int64_t)> function, Cadence cadence);

/// Times `gamma` after each `size`, as `StepLR`. Throws Error for a length that is not above 0 or not in steps or
/// epochs, and for a factor below 0 or not finite, as all of these do.
[[nodiscard]] Schedule step(Duration size, double gamma = 0.1);

/// Times `gamma` at each of the milestones, in any order, as `MultiStepLR`; one that is there twice counts twice.
[[nodiscard]] Schedule multi_step(std::vector<Duration> milestones, double gamma = 0.1);

/// `factor` for that long, then 1, as `ConstantLR`.
[[nodiscard]] Schedule constant(double factor, Duration length);

/// From `start_factor` in a straight line to `end_factor`, which stays, as `LinearLR`. Without a length over the whole
/// run, which has to be known then.
[[nodiscard]] Schedule linear(double start_factor, double end_factor, std::optional<Duration> length = {});

/// `gamma` to the power of time / `per`. With 1_steps it is `ExponentialLR`; with 1_epochs it falls within epochs too,
/// `per_epoch` has the steps.
[[nodiscard]] Schedule exponential(double gamma, Duration per);

/// Half a cosine from 1 down to `min_factor` (Loshchilov & Hutter, 2017), as `CosineAnnealingLR`; then `min_factor`,
/// where torch goes up again. Without a length over the whole run, which has to be known then.
[[nodiscard]] Schedule cosine(double min_factor = 0, std::optional<Duration> length = {});

/// (1 - progress) to the power of `power` from 1 down to `end_factor`, which stays, as `PolynomialLR`. Without a length
/// over the whole run.
[[nodiscard]] Schedule polynomial(double power = 1, std::optional<Duration> length = {}, double end_factor = 0);

}  // namespace athanor::schedules
