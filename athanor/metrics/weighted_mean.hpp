// SPDX-License-Identifier: Apache-2.0
// A mean weighted by samples.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/metrics/scalars.hpp"

namespace athanor {

/// A mean weighted by samples, as every loss and every plain metric function is accumulated. Numbers on the CPU are
/// added in double on the host; tensors on another device are added there and read when `compute` is called. A NaN
/// makes it NaN.
class WeightedMean {
 public:
  /// Of nothing: merging it changes nothing.
  WeightedMean() = default;
  /// Of one value; the same as `update` once.
  WeightedMean(const at::Tensor& value, double weight) { update(value, weight); }
  WeightedMean(double value, double weight) { update(value, weight); }

  /// `value`: a scalar tensor of any real dtype, or a number. `weight`: samples, tokens, nodes; what weighs 0 is not
  /// looked at. Throws Error, and adds nothing, for a tensor of more than one number and for a weight below 0 or NaN.
  void update(const at::Tensor& value, double weight);
  void update(double value, double weight);
  void merge(const WeightedMean& other);
  /// Waits for the device. Throws Error when the total weight is 0.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return weight_ == 0; }
  /// The sum of the weights.
  [[nodiscard]] double weight() const noexcept { return weight_; }
  void reset();
  void state(State& state);

 private:
  metrics::detail::ScalarSum sum_;
  double weight_ = 0;
};

namespace metrics::detail {

/// The weighted means of what a function returns batch after batch: a number, or several under names.
class NamedMeans {
 public:
  /// `value`: a number, a scalar tensor, or a dictionary of these. Throws Error, and adds nothing, for anything else
  /// and for other names than before.
  void update(const Tree& value, double weight);
  void merge(const NamedMeans& other);
  /// A number, or a dictionary of numbers. Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] Tree compute() const;
  [[nodiscard]] bool empty() const noexcept { return means_.empty(); }
  void reset() { means_.clear(); }
  void state(State& state);

 private:
  WeightedMean& mean(const std::string& name);
  void check_names(const std::vector<std::string>& names) const;
  [[nodiscard]] std::vector<std::string> names() const;

  std::vector<std::pair<std::string, WeightedMean>> means_;  // a single number has an empty name
};

}  // namespace metrics::detail
}  // namespace athanor
