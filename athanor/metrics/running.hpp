// SPDX-License-Identifier: Apache-2.0
// A metric of the last batches only.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// Any metric over the last `window` updates: each update has a copy of its own, and `compute` merges them. Called
/// "running_NAME". A moving value of a run that has no epochs, or of training while the weights move.
///
///     athanor::Metrics metrics = {athanor::metrics::running(athanor::metrics::accuracy(), 100)};
class Running {
 public:
  /// `metric` is copied, reset. Throws Error for a window below 1.
  Running(Metric metric, int64_t window);

  [[nodiscard]] std::string name() const { return "running_" + empty_.name(); }
  [[nodiscard]] Direction direction() const { return empty_.direction(); }
  [[nodiscard]] bool alike(const Running& other) const {
    return window_ == other.window_ && empty_.alike(other.empty_);
  }
  /// What the metric does. The oldest update is forgotten when there are more than `window`.
  void update(const Tree& predictions, const Tree& target, int64_t samples);
  /// The updates of `other` count as later ones. Order matters, as in Last. Throws Error when the windows differ.
  void merge(const Running& other);
  /// What the metric gives for the last updates. Throws what it throws.
  [[nodiscard]] Tree compute() const;
  [[nodiscard]] bool empty() const noexcept { return last_.empty(); }
  [[nodiscard]] bool live() const { return empty_.live(); }
  void reset() { last_.clear(); }
  void state(State& state);

 private:
  void forget();

  Metric empty_;
  int64_t window_;
  std::deque<Metric> last_;  // the oldest first
};

[[nodiscard]] Running running(Metric metric, int64_t window);

}  // namespace athanor::metrics
