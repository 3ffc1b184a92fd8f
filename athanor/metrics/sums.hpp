// SPDX-License-Identifier: Apache-2.0
// Sums that live where the batches come from; shared by the metrics, not for use outside.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "athanor/core/state.hpp"

namespace athanor::metrics::detail {

/// `size` sums, float64 (float32 on devices without it), and one more for places that a device refused: what Counts is
/// for whole numbers. A copy adds up on its own.
class Sums {
 public:
  Sums() = default;
  Sums(const Sums& other);
  Sums& operator=(const Sums& other) { return *this = Sums(other); }
  Sums(Sums&&) noexcept = default;
  Sums& operator=(Sums&&) noexcept = default;

  [[nodiscard]] bool empty() const noexcept { return !sums_.defined(); }
  /// The sums to add to on the CPU; made, with zeros, at the first call.
  [[nodiscard]] double* on_host(int64_t size);
  /// Adds (size + 1) on its device, without waiting.
  void add(const at::Tensor& sums);
  /// `metric` is named when the sizes differ.
  void merge(const Sums& other, const char* metric);
  /// The sums on the host; waits for the device. Throws Error when nothing was seen, or when a device has refused a
  /// label or a score.
  [[nodiscard]] std::vector<double> read(const char* metric) const;
  void reset() { sums_ = at::Tensor(); }
  void state(State& state) { state.tensor("sums", sums_, State::Shape::free); }

 private:
  at::Tensor sums_;
};

}  // namespace athanor::metrics::detail
