// SPDX-License-Identifier: Apache-2.0
// Schedules that go up and down: warm restarts, cycles, one cycle.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "athanor/core/duration.hpp"
#include "athanor/optim/schedule.hpp"

namespace athanor::schedules {

/// Half a cosine from 1 down to `min_factor` again and again (Loshchilov & Hutter, 2017): the first over `first`, each
/// further one `multiplier` times as long, as `CosineAnnealingWarmRestarts`. Throws Error for a length that is not
/// above 0 or not in steps or epochs, a factor below 0 and a multiplier below 1.
[[nodiscard]] Schedule cosine_restarts(Duration first, int64_t multiplier = 1, double min_factor = 0);

/// Values of the momentum itself, not factors; it goes against the learning rate: `high` where that is low.
struct MomentumRange {
  double low = 0.85;
  double high = 0.95;
};

/// How the height of the cycles of `cyclic` changes.
enum class CycleHeight {
  constant,     ///< "triangular"
  halved,       ///< "triangular2": by half from each cycle to the next
  exponential,  ///< "exp_range": times `gamma` with each step or epoch
};

struct CyclicOptions {
  Duration up = Duration::steps(2000);  ///< From the base rate to the highest, in steps or epochs.
  std::optional<Duration> down = {};    ///< Back, in the same unit; unset: as long as up.
  double max_factor = 10;               ///< The highest rate; the base rate is the lowest.
  CycleHeight height = CycleHeight::constant;
  double gamma = 1;                                ///< For CycleHeight::exponential.
  std::function<double(double cycle)> scale = {};  ///< Instead of `height`: of the number of the cycle, from 1 on.
  std::optional<MomentumRange> momentum = {};      ///< Unset: left as it is.
};
/// A triangle of learning rates without end (Smith, 2017), as `CyclicLR`. With `momentum` a schedule of two fields,
/// which can't be part of a sequence. Throws Error for options out of range and for `up` and `down` of two units.
[[nodiscard]] Schedule cyclic(const CyclicOptions& options);

/// The form of a rise or fall.
enum class Anneal { cosine, linear };

struct OneCycleOptions {
  std::optional<Duration> length = {};  ///< In steps or epochs; unset: the whole run, which has to be known then.
  double rise = 0.3;                    ///< The part of it that goes up, from 0 to 1.
  double start_divisor = 25;            ///< The first rate is the base rate, which is the highest, by this.
  double end_divisor = 1e4;             ///< The last rate is the first by this.
  Anneal anneal = Anneal::cosine;
  bool three_phases = false;  ///< Down to the first rate as long as up, and from there to the last, as in the paper.
  std::optional<MomentumRange> momentum = MomentumRange{};  ///< Unset: left as it is.
};
/// The one cycle of Smith & Topin (2018), as `OneCycleLR`: the optimizer's rate is the highest. The last update has the
/// last rate, which then stays. With `momentum`, as it comes, a schedule of two fields, which can't be part of a
/// sequence and needs an optimizer with a momentum. Throws Error for options out of range.
[[nodiscard]] Schedule one_cycle(const OneCycleOptions& options = {});

}  // namespace athanor::schedules
