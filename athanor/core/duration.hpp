// SPDX-License-Identifier: Apache-2.0
// The one notion of time: epochs, steps, samples or wall time, typed.
//
//     using namespace athanor::literals;
//     Duration length = 20_epochs;      // also 500_steps, 60000_samples, 30_seconds, 90_minutes, 2_hours
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace athanor {

/// How far a run has come.
struct Elapsed {
  double epochs = 0;  ///< Whole epochs plus the finished part of the running one.
  int64_t steps = 0;  ///< Optimizer steps, that is: passes of the loop.
  int64_t samples = 0;
  double seconds = 0;  ///< Wall time in `fit`, earlier calls included.
  void state(class State& state);
};

/// A length of training or an interval. Never a bare number: the unit is part of the value.
class Duration {
 public:
  enum class Unit { epochs, steps, samples, seconds };

  static constexpr Duration epochs(double count) { return {Unit::epochs, count}; }
  static constexpr Duration steps(int64_t count) { return {Unit::steps, static_cast<double>(count)}; }
  static constexpr Duration samples(int64_t count) { return {Unit::samples, static_cast<double>(count)}; }
  static constexpr Duration seconds(double count) { return {Unit::seconds, count}; }
  template <class Rep, class Period>
  constexpr Duration(std::chrono::duration<Rep, Period> time)
      : unit_(Unit::seconds), count_(std::chrono::duration<double>(time).count()) {}

  [[nodiscard]] constexpr Unit unit() const noexcept { return unit_; }
  [[nodiscard]] constexpr double count() const noexcept { return count_; }

  /// What `elapsed` amounts to in the unit of this duration.
  [[nodiscard]] double measure(const Elapsed& elapsed) const noexcept;
  [[nodiscard]] bool reached(const Elapsed& elapsed) const noexcept;
  /// As an interval: whether a whole multiple of it lies in (before, now].
  [[nodiscard]] bool passed(const Elapsed& before, const Elapsed& now) const noexcept;

  /// `20 epochs`, `1 step`.
  [[nodiscard]] std::string describe() const;
  friend constexpr bool operator==(const Duration&, const Duration&) = default;

 private:
  constexpr Duration(Unit unit, double count) : unit_(unit), count_(count) {}
  Unit unit_;
  double count_;
};

namespace literals {
constexpr Duration operator""_epochs(unsigned long long count) { return Duration::epochs(static_cast<double>(count)); }
constexpr Duration operator""_epochs(long double count) { return Duration::epochs(static_cast<double>(count)); }
constexpr Duration operator""_steps(unsigned long long count) { return Duration::steps(static_cast<int64_t>(count)); }
constexpr Duration operator""_samples(unsigned long long count) {
  return Duration::samples(static_cast<int64_t>(count));
}
constexpr Duration operator""_seconds(unsigned long long count) {
  return Duration::seconds(static_cast<double>(count));
}
constexpr Duration operator""_minutes(unsigned long long count) {
  return Duration::seconds(60.0 * static_cast<double>(count));
}
constexpr Duration operator""_hours(unsigned long long count) {
  return Duration::seconds(3600.0 * static_cast<double>(count));
}
}  // namespace literals

}  // namespace athanor
