// SPDX-License-Identifier: Apache-2.0
// Whole-number accumulators that live where the batches come from.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "athanor/core/state.hpp"

namespace athanor::metrics {

/// `size` counters, int64, on the CPU or on a device, and one more for places that a device refused. They
/// move to the device of the latest batch; a move to the CPU waits for the device. A copy counts on its own.
class Counts {
 public:
  Counts() = default;
  Counts(const Counts& other);
  Counts& operator=(const Counts& other) { return *this = Counts(other); }
  Counts(Counts&&) noexcept = default;
  Counts& operator=(Counts&&) noexcept = default;

  [[nodiscard]] bool empty() const noexcept { return !counts_.defined(); }
  /// 0 when nothing was seen.
  [[nodiscard]] int64_t size() const { return empty() ? 0 : counts_.numel() - 1; }

  /// The counters to add to on the CPU; made, with zeros, at the first call.
  [[nodiscard]] int64_t* on_host(int64_t size);
  /// Adds int64 (size + 1) on its device, without waiting.
  void add(const at::Tensor& counts);
  /// `metric` is named when the sizes differ.
  void merge(const Counts& other, const char* metric);
  /// The counters on the host; waits for the device. Throws Error when nothing was seen, or when a device has
  /// refused a label or a score.
  [[nodiscard]] std::vector<int64_t> read(const char* metric) const;
  void reset() { counts_ = at::Tensor(); }
  void state(State& state) { state.tensor("counts", counts_, State::Shape::free); }

 private:
  at::Tensor counts_;
};

namespace detail {

/// Throws Error when a device has refused something.
void check_refused(int64_t refused, const char* metric);

}  // namespace detail
}  // namespace athanor::metrics
