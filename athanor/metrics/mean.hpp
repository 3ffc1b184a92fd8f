// SPDX-License-Identifier: Apache-2.0
// The mean of a value that a model gives, whatever the target is.
#pragma once

#include <string>

#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// The mean over all elements of all batches, in float64 (float32 on devices without it). Called "mean"; as a metric of
/// predictions and targets it looks at the predictions alone. NaN makes it NaN.
///
///     athanor::metrics::Mean norm;
///     norm.update(gradients.norm());   // in a loop of your own
///     norm.compute();
class Mean {
 public:
  [[nodiscard]] std::string name() const { return "mean"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::unknown; }
  [[nodiscard]] bool alike(const Mean& /*other*/) const noexcept { return true; }

  /// Adds every element, of any shape and any real dtype. Does not wait for a device. Throws Error for complex or
  /// undefined tensors.
  void update(const at::Tensor& values);
  void update(const at::Tensor& predictions, const at::Tensor& /*target*/) { update(predictions); }
  /// Adds a number that stands for `weight` samples, 0 or more.
  void update(double value, double weight = 1) { mean_.update(value, weight); }
  void merge(const Mean& other) { mean_.merge(other.mean_); }
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const { return mean_.compute(); }
  [[nodiscard]] bool empty() const noexcept { return mean_.empty(); }
  void reset() { mean_.reset(); }
  void state(State& state) { state.child("mean", mean_); }

 private:
  WeightedMean mean_;
};

/// For `.metrics = {athanor::metrics::mean()}`.
[[nodiscard]] Mean mean();

/// The mean of this tensor alone. Waits for the device.
[[nodiscard]] double mean(const at::Tensor& values);

}  // namespace athanor::metrics
