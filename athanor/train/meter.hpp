// SPDX-License-Identifier: Apache-2.0
// The accumulators of one pass: loss, metrics and logged values.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "athanor/metrics/metric.hpp"
#include "athanor/train/step.hpp"

namespace athanor {

/// Adds up what the steps of a pass hand back. Part of the state of a run: a pass that is interrupted goes on with
/// the sums it had.
class Meter {
 public:
  explicit Meter(Metrics metrics = {}) : metrics_(std::move(metrics)) {}

  /// Adds the loss and the metrics of a step. Nothing is read back from a device.
  void update(const StepOutput& output, const Batch& batch);
  void log(std::string_view name, const at::Tensor& value, double samples);
  void log(std::string_view name, double value, double samples);

  /// The means so far: `PREFIXloss`, metrics, logged values. Waits for the device. Metrics that have seen nothing are
  /// left out.
  [[nodiscard]] Values values(std::string_view prefix = {}) const;
  [[nodiscard]] const Metrics& metrics() const noexcept { return metrics_; }
  [[nodiscard]] bool empty() const noexcept { return samples_ == 0; }
  void reset();
  void state(State& state);

 private:
  WeightedMean& logged(std::string_view name);

  double samples_ = 0;
  bool measured_ = false;  // the metrics have seen predictions
  WeightedMean loss_;
  Metrics metrics_;
  std::vector<std::pair<std::string, WeightedMean>> logged_;
};

}  // namespace athanor
