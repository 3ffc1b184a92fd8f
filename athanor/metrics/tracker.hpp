// SPDX-License-Identifier: Apache-2.0
// A metric round by round, and which round was best.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// For loops of your own; `fit` has its History.
///
///     athanor::metrics::Tracker tracker(athanor::metrics::accuracy());
///     for (int epoch = 0; epoch < 10; ++epoch) {
///       for (const Batch& batch : validation) tracker.update(net(batch.input), batch.target, batch.samples);
///       if (tracker.finish_round().is_best) save(net);
///     }
///     tracker.best().round;
class Tracker {
 public:
  struct Round {
    int64_t round = 0;  ///< From 0.
    double value = 0;
    bool is_best = false;  ///< Better than all before it. NaN is never best; of equal ones the first is.
  };

  /// `metric` is copied, reset. Throws Error when it does not say whether up is good: higher_is_better() does.
  explicit Tracker(Metric metric);

  [[nodiscard]] std::string name() const { return metric_.name(); }
  [[nodiscard]] Direction direction() const { return metric_.direction(); }
  /// Adds a batch to the running round.
  void update(const Tree& predictions, const Tree& target, int64_t samples) {
    metric_.update(predictions, target, samples);
  }
  /// Computes the value of the running round, resets the metric, and begins the next one. Throws Error when nothing was
  /// seen since the last one, and for a metric of several values.
  Round finish_round();
  /// The value of the running round.
  [[nodiscard]] Tree compute() const { return metric_.compute(); }
  /// Throws Error when no round had a value that is not NaN.
  [[nodiscard]] Round best() const;
  /// The values of the finished rounds.
  [[nodiscard]] const std::vector<double>& values() const noexcept { return values_; }

  /// The running rounds become one; the finished rounds of `other` count as later ones.
  void merge(const Tracker& other);
  /// True before the first update of all.
  [[nodiscard]] bool empty() const { return values_.empty() && metric_.empty(); }
  /// Forgets every round.
  void reset();
  void state(State& state);

 private:
  [[nodiscard]] bool better(double value, double than) const;

  Metric metric_;
  std::vector<double> values_;
};

}  // namespace athanor::metrics
