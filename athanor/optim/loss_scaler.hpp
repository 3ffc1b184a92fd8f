// SPDX-License-Identifier: Apache-2.0
// The factor that keeps float16 gradients from vanishing, adapted on the device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "athanor/core/state.hpp"

namespace athanor {

/// The options of `torch.amp.GradScaler`, with its defaults.
struct LossScalerOptions {
  double initial_scale = 65536;
  double growth_factor = 2;        ///< Above 1.
  double backoff_factor = 0.5;     ///< Above 0 and below 1.
  int64_t growth_interval = 2000;  ///< So many passes in a row without a non-finite gradient let the scale grow.
};

/// The loss is multiplied by `scale()` before backward; the step divides the gradients by it. A pass with a non-finite
/// gradient takes the scale back, many without let it grow (Micikevicius et al., 2018). Bit for bit that of
/// `torch.amp.GradScaler`. Never waits for the device.
class LossScaler {
 public:
  /// Throws Error for an option out of its range.
  explicit LossScaler(LossScalerOptions options = {}, at::Device device = at::kCPU);

  [[nodiscard]] const LossScalerOptions& options() const noexcept { return options_; }
  /// float32 scalar on the device, which keeps its address.
  [[nodiscard]] const at::Tensor& scale() const noexcept { return scale_; }
  /// Once in each pass of the loop, after the last step. `found_inf` is a float32 scalar on the device, 0 when every
  /// gradient was finite; with several optimizers the sum of theirs. Throws Error for another dtype or shape.
  void update(const at::Tensor& found_inf);
  /// The scale, and how many passes it has been good for.
  void state(State& state);

 private:
  LossScalerOptions options_;
  at::Tensor scale_;
  at::Tensor growth_tracker_;  // int32 scalar
};

}  // namespace athanor
