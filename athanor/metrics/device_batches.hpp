// SPDX-License-Identifier: Apache-2.0
// Batches that stay on their device until somebody asks; shared by the metrics, not for use outside.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

namespace athanor::metrics::detail {

/// For metrics that keep what they see: on the CPU they look at it at once, on another device it would have to be
/// waited for. Copies of this object share the tensors, which are never written to.
class DeviceBatches {
 public:
  /// Keeps copies on their device, without waiting.
  void add(const at::Tensor& predictions, const at::Tensor& target);
  void merge(const DeviceBatches& other);
  [[nodiscard]] bool empty() const noexcept { return batches_.empty(); }
  void clear() { batches_.clear(); }

  /// Calls `function(predictions, target)` with each batch on the CPU, in the order in which they came, and forgets
  /// them. Waits for the device.
  template <class F>
  void drain(F&& function) {
    for (const auto& [predictions, target] : std::exchange(batches_, {})) function(predictions.cpu(), target.cpu());
  }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> batches_;
};

}  // namespace athanor::metrics::detail
