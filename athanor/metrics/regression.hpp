// SPDX-License-Identifier: Apache-2.0
// Errors of regression: mean absolute, mean squared, root mean squared, percentage, symmetric percentage and quantile.
//
// Predictions and targets have the same shape, any real dtype; (N, 1) and (N) fit together, nothing else is broadcast.
// The mean is over all elements of all batches, so a ragged last batch weighs what it holds. Differences and sums are
// in float64 (float32 on devices without it). NaN in a batch makes the value NaN.
#pragma once

#include <string>

#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

namespace detail {

/// The part that the errors share: a mean over elements. `update` adds a batch, does not wait for a device, throws
/// Error, and adds nothing, for shapes that do not fit.
class MeanError {
 public:
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const { return mean_.compute(); }
  [[nodiscard]] bool empty() const noexcept { return mean_.empty(); }
  void reset() { mean_.reset(); }
  void state(State& state) { state.child("mean", mean_); }

 protected:
  WeightedMean mean_;
};

}  // namespace detail

/// The mean of |prediction - target|. Called "mae".
class MeanAbsoluteError : public detail::MeanError {
 public:
  [[nodiscard]] std::string name() const { return "mae"; }
  [[nodiscard]] bool alike(const MeanAbsoluteError& /*other*/) const noexcept { return true; }
  void merge(const MeanAbsoluteError& other) { mean_.merge(other.mean_); }
  void update(const at::Tensor& predictions, const at::Tensor& target);
};

/// The mean of (prediction - target)². Called "mse".
class MeanSquaredError : public detail::MeanError {
 public:
  [[nodiscard]] std::string name() const { return "mse"; }
  [[nodiscard]] bool alike(const MeanSquaredError& /*other*/) const noexcept { return true; }
  void merge(const MeanSquaredError& other) { mean_.merge(other.mean_); }
  void update(const at::Tensor& predictions, const at::Tensor& target);
};

/// The square root of the mean squared error of all that was seen, not a mean of roots. Called "rmse".
class RootMeanSquaredError : public MeanSquaredError {
 public:
  [[nodiscard]] std::string name() const { return "rmse"; }
  [[nodiscard]] bool alike(const RootMeanSquaredError& /*other*/) const noexcept { return true; }
  void merge(const RootMeanSquaredError& other) { mean_.merge(other.mean_); }
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
};

/// The mean of |prediction - target| / |target|, as a part of 1, not in percent; a target nearer to 0 than the
/// precision of float64 counts as that, as in scikit-learn, so that an error there is huge. Called "mape".
class MeanAbsolutePercentageError : public detail::MeanError {
 public:
  [[nodiscard]] std::string name() const { return "mape"; }
  [[nodiscard]] bool alike(const MeanAbsolutePercentageError& /*other*/) const noexcept { return true; }
  void merge(const MeanAbsolutePercentageError& other) { mean_.merge(other.mean_); }
  void update(const at::Tensor& predictions, const at::Tensor& target);
};

/// The mean of 2 |prediction - target| / (|prediction| + |target|), from 0 to 2; 0 where both are 0. Called "smape".
class SymmetricMeanAbsolutePercentageError : public detail::MeanError {
 public:
  [[nodiscard]] std::string name() const { return "smape"; }
  [[nodiscard]] bool alike(const SymmetricMeanAbsolutePercentageError& /*other*/) const noexcept { return true; }
  void merge(const SymmetricMeanAbsolutePercentageError& other) { mean_.merge(other.mean_); }
  void update(const at::Tensor& predictions, const at::Tensor& target);
};

/// The mean of quantile (target - prediction) where the prediction is below the target, else of (1 - quantile)
/// (prediction - target): least for predictions of that quantile. Called "quantile_loss".
class QuantileLoss : public detail::MeanError {
 public:
  /// Throws Error for a quantile that is not from 0 to 1.
  explicit QuantileLoss(double quantile = 0.5);
  [[nodiscard]] std::string name() const { return "quantile_loss"; }
  [[nodiscard]] bool alike(const QuantileLoss& other) const noexcept { return quantile_ == other.quantile_; }
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the quantiles differ.
  void merge(const QuantileLoss& other);

 private:
  double quantile_;
};

/// The mean over samples of the cosine of the angle between prediction and target, both (N, D) or (N, D, …), flattened
/// to one vector a sample. A vector of zeros has no direction: NaN. Called "cosine_similarity".
class CosineSimilarity {
 public:
  [[nodiscard]] std::string name() const { return "cosine_similarity"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const CosineSimilarity& /*other*/) const noexcept { return true; }
  /// Adds a batch; does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  void merge(const CosineSimilarity& other) { mean_.merge(other.mean_); }
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const { return mean_.compute(); }
  [[nodiscard]] bool empty() const noexcept { return mean_.empty(); }
  void reset() { mean_.reset(); }
  void state(State& state) { state.child("mean", mean_); }

 private:
  WeightedMean mean_;
};

/// For `.metrics = {athanor::metrics::mae()}`.
[[nodiscard]] MeanAbsoluteError mae();
[[nodiscard]] MeanSquaredError mse();
[[nodiscard]] RootMeanSquaredError rmse();
[[nodiscard]] MeanAbsolutePercentageError mape();
[[nodiscard]] SymmetricMeanAbsolutePercentageError smape();
[[nodiscard]] QuantileLoss quantile_loss(double quantile = 0.5);
[[nodiscard]] CosineSimilarity cosine_similarity();

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double mae(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double mse(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double rmse(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double mape(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double smape(const at::Tensor& predictions, const at::Tensor& target);
[[nodiscard]] double quantile_loss(const at::Tensor& predictions, const at::Tensor& target, double quantile = 0.5);
[[nodiscard]] double cosine_similarity(const at::Tensor& predictions, const at::Tensor& target);

}  // namespace athanor::metrics
