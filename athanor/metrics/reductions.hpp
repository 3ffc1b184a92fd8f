// SPDX-License-Identifier: Apache-2.0
// Sum, last value, minimum and maximum of the values of a pass.
#pragma once

#include "athanor/core/state.hpp"
#include "athanor/metrics/scalars.hpp"

namespace athanor {

/// A sum, unweighted. Numbers on the CPU are added in double on the host, so whole numbers are exact below 2^53;
/// tensors on another device are added there and read when `compute` is called.
class Sum {
 public:
  Sum() = default;
  explicit Sum(const at::Tensor& value) { update(value); }
  explicit Sum(double value) { update(value); }

  /// `value`: a scalar tensor of any real dtype, or a number. Throws Error for a tensor of more than one number.
  void update(const at::Tensor& value);
  void update(double value);
  void merge(const Sum& other);
  /// 0 for nothing. Waits for the device.
  [[nodiscard]] double compute() const { return sum_.read(); }
  [[nodiscard]] bool empty() const noexcept { return empty_; }
  void reset() { *this = Sum(); }
  void state(State& state);

 private:
  metrics::detail::ScalarSum sum_;
  bool empty_ = true;
};

/// The value that came last. `merge` takes the value of the other one, unless that has none: the only accumulator for
/// which the order of merging matters.
class Last {
 public:
  Last() = default;
  explicit Last(const at::Tensor& value) { update(value); }
  explicit Last(double value) { update(value); }

  /// As of Sum. A tensor on a device is copied there.
  void update(const at::Tensor& value);
  void update(double value);
  void merge(const Last& other);
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return empty_; }
  void reset() { *this = Last(); }
  void state(State& state);

 private:
  double host_ = 0;
  at::Tensor device_;  // what counts when it is defined; never written to
  bool empty_ = true;
};

namespace metrics::detail {

enum class Extreme { minimum, maximum };

template <Extreme extreme>
class Extremum {
 public:
  Extremum() = default;
  explicit Extremum(const at::Tensor& value) { update(value); }
  explicit Extremum(double value) { update(value); }

  /// As of Sum.
  void update(const at::Tensor& value);
  void update(double value);
  void merge(const Extremum& other);
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return !host_seen_ && !device_.defined(); }
  void reset() { *this = Extremum(); }
  void state(State& state);

 private:
  double host_ = 0;
  bool host_seen_ = false;
  at::Tensor device_;  // never written to
};

extern template class Extremum<Extreme::minimum>;
extern template class Extremum<Extreme::maximum>;

}  // namespace metrics::detail

/// The smallest and the largest value. A NaN makes it NaN.
using Minimum = metrics::detail::Extremum<metrics::detail::Extreme::minimum>;
using Maximum = metrics::detail::Extremum<metrics::detail::Extreme::maximum>;

}  // namespace athanor
