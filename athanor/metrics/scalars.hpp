// SPDX-License-Identifier: Apache-2.0
// Single numbers on the host or on a device; shared by the accumulators, not for use outside.
#pragma once

#include <ATen/core/Tensor.h>

#include "athanor/core/state.hpp"

namespace athanor::metrics::detail {

/// Throws Error unless `value` is one real number.
void check_scalar(const at::Tensor& value);

/// A copy of a scalar on its device, float64 where the device has it, else float32. Without dimensions and graph.
[[nodiscard]] at::Tensor widened(const at::Tensor& value);

/// A sum of terms: those on the CPU are added in double on the host, those on another device are added there.
class ScalarSum {
 public:
  ScalarSum() = default;
  /// A copy accumulates on its own, on the device too.
  ScalarSum(const ScalarSum& other);
  ScalarSum& operator=(const ScalarSum& other) { return *this = ScalarSum(other); }
  ScalarSum(ScalarSum&&) noexcept = default;
  ScalarSum& operator=(ScalarSum&&) noexcept = default;

  void add(double term) { host_ += term; }
  /// Adds `value` times `weight`. The value was checked.
  void add(const at::Tensor& value, double weight);
  void merge(const ScalarSum& other);
  /// Waits for the device.
  [[nodiscard]] double read() const;
  /// Writes "sum" and "device_sum" into the scope of its owner.
  void state(State& state);

 private:
  double host_ = 0;
  at::Tensor device_;  // float64 where the device has it, else float32; undefined on the CPU
};

}  // namespace athanor::metrics::detail
