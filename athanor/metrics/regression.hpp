// SPDX-License-Identifier: Apache-2.0
// Mean absolute, mean squared and root mean squared error.
//
// Predictions and targets have the same shape, any real dtype; (N, 1) and (N) fit together, nothing else is broadcast.
// The mean is over all elements of all batches, so a ragged last batch weighs what it holds. Differences and sums are
// in float64 (float32 on devices without it). NaN in a batch makes the value NaN.
#pragma once

#include <string>

#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// The mean of |prediction - target|. Called "mae".
class MeanAbsoluteError {
 public:
  [[nodiscard]] std::string name() const { return "mae"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  /// Adds a batch; does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  void merge(const MeanAbsoluteError& other) { mean_.merge(other.mean_); }
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const { return mean_.compute(); }
  void reset() { mean_.reset(); }
  void state(State& state) { state.child("mean", mean_); }

 private:
  WeightedMean mean_;
};

/// The mean of (prediction - target)². Called "mse".
class MeanSquaredError {
 public:
  [[nodiscard]] std::string name() const { return "mse"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  /// Adds a batch; does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  void merge(const MeanSquaredError& other) { mean_.merge(other.mean_); }
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const { return mean_.compute(); }
  void reset() { mean_.reset(); }
  void state(State& state) { state.child("mean", mean_); }

 private:
  WeightedMean mean_;
};

/// The square root of the mean squared error of all that was seen, not a mean of roots. Called "rmse".
class RootMeanSquaredError {
 public:
  [[nodiscard]] std::string name() const { return "rmse"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  /// Adds a batch; does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit.
  void update(const at::Tensor& predictions, const at::Tensor& target) { squared_.update(predictions, target); }
  void merge(const RootMeanSquaredError& other) { squared_.merge(other.squared_); }
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
  void reset() { squared_.reset(); }
  void state(State& state) { squared_.state(state); }

 private:
  MeanSquaredError squared_;
};

/// For `.metrics = {athanor::metrics::mae()}`.
[[nodiscard]] MeanAbsoluteError mae();
[[nodiscard]] MeanSquaredError mse();
[[nodiscard]] RootMeanSquaredError rmse();

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double mae(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double mse(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double rmse(const at::Tensor& predictions, const at::Tensor& target);

}  // namespace athanor::metrics
