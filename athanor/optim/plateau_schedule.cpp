// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/plateau_schedule.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "athanor/core/text.hpp"
#include "athanor/optim/schedule_progress.hpp"

namespace athanor {

std::optional<int64_t> PlateauCounter::count(bool improved) noexcept {
  waited_ = improved ? 0 : waited_ + 1;
  if (cooling_ > 0) {
    cooling_ -= 1;
    waited_ = 0;
  }
  if (waited_ <= patience_) return std::nullopt;
  cooling_ = cooldown_;
  return std::exchange(waited_, 0);
}

void PlateauCounter::state(State& state) {
  state.value("waited", waited_);
  state.value("cooling", cooling_);
}

namespace schedules {
namespace {

class Plateau {
 public:
  static constexpr Cadence cadence = Cadence::value;

  explicit Plateau(PlateauOptions options)
      : options_(std::move(options)), counter_(options_.patience, options_.cooldown) {}

  double factor(const ScheduleTime&) const { return factor_; }
  void on_value(double value) {
    const bool better = improves(value);
    if (better) {
      best_ = value;
      has_best_ = true;
    }
    if (counter_.count(better)) factor_ = std::min(factor_, std::max(factor_ * options_.factor, options_.min_factor));
  }
  std::string monitor() const { return options_.monitor; }
  std::optional<Mode> mode() const { return options_.mode; }
  std::string describe() const {
    return "times " + shortest(options_.factor) + " on a plateau" +
           (options_.monitor.empty() ? std::string() : " of " + options_.monitor);
  }
  void state(State& state) {
    state.value("factor", factor_);
    state.value("has_best", has_best_);
    state.value("best", best_);
    state.child("counter", counter_);
  }

 private:
  bool improves(double value) const {
    const bool small = options_.mode == Mode::min;
    if (std::isnan(value) || (std::isinf(value) && (value > 0) == small)) return false;
    if (!has_best_) return true;
    const double needed = options_.relative ? options_.min_change * std::abs(best_) : options_.min_change;
    return small ? value < best_ - needed : value > best_ + needed;
  }

  PlateauOptions options_;
  PlateauCounter counter_;
  double factor_ = 1;
  bool has_best_ = false;
  double best_ = 0;
};

}  // namespace

Schedule reduce_on_plateau(PlateauOptions options) {
  const std::string where = "schedules::reduce_on_plateau, ";
  detail::check_option(options.factor >= 0 && options.factor < 1, where + "factor", options.factor,
                       "from 0 to below 1");
  detail::check_option(options.patience >= 0, where + "patience", static_cast<double>(options.patience), "0 or more");
  detail::check_option(options.min_change >= 0 && std::isfinite(options.min_change), where + "min_change",
                       options.min_change, "0 or more");
  detail::check_option(options.cooldown >= 0, where + "cooldown", static_cast<double>(options.cooldown), "0 or more");
  detail::check_option(options.min_factor >= 0 && options.min_factor <= 1, where + "min_factor", options.min_factor,
                       "from 0 to 1");
  return Plateau(std::move(options));
}

}  // namespace schedules
}  // namespace athanor
