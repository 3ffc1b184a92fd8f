// SPDX-License-Identifier: Apache-2.0
// Between backward and step: gradients unscaled, checked and clipped without waiting for the device.
#pragma once

#include <limits>
#include <optional>

#include "athanor/optim/gradient_scale.hpp"
#include "athanor/optim/parameters.hpp"

namespace athanor {

/// How gradients are kept from being too large. Both may be set: by norm first, then by value.
struct Clip {
  /// All gradients together are scaled down to this norm when theirs is larger, as
  /// `torch.nn.utils.clip_grad_norm_` does (Pascanu et al., 2013). 1 is usual for recurrent nets and transformers.
  std::optional<double> norm = {};
  double norm_type = 2;  ///< 2, 1, or infinity: the largest magnitude.
  /// Each number is brought into [-value, value], as `torch.nn.utils.clip_grad_value_` does.
  std::optional<double> value = {};
};

/// What the step needs to know of the gradients. Scalars on the gradients' device, not read.
struct PreparedStep {
  at::Tensor
      norm;  ///< float32: the norm of all gradients before clipping, unscaled. Undefined unless Clip::norm is set.
  GradientScale scale;
};

/// All that lies between backward and step. Never waits for the device.
///
/// - `loss_scale`: the factor that the loss was multiplied by, a float32 scalar; undefined: 1. It goes into the
/// divisor.
/// - `check_finite`: `scale.found_inf` is 1 when a gradient holds NaN or an infinity, so that the step is skipped. It
///   costs one read of the gradients, nothing beside a clip by norm.
/// - Clipping by norm is that one read, too: its factor goes into the divisor, the gradients stay as they are until the
///   step. It equals `clip_grad_norm_(error_if_nonfinite=False)` up to rounding, but for a norm that is no float32
///   (NaN, infinite): that sets `found_inf`, where Python would spread it. Sums do not depend on the number of threads.
/// - Clipping by value is one pass that writes to the gradients; those of a step that is skipped may be written to.
///
/// Gradients may have any dense layout; parameters without one are left out. Contiguous float32 and float64 on the CPU
/// have kernels of their own, everything else goes through LibTorch's.
///
/// Sparse gradients count by the rows that they name, which are added up where they come twice.
///
/// Throws Error for a gradient of another layout, a clip out of its range, and a `loss_scale` that is not a float32
/// scalar.
[[nodiscard]] PreparedStep prepare_step(const Parameters& parameters, const std::optional<Clip>& clip,
                                        const at::Tensor& loss_scale, bool check_finite);

/// The same by LibTorch's operators alone: what `prepare_step` is for gradients on a device.
[[nodiscard]] PreparedStep prepare_step_by_operators(const Parameters& parameters, const std::optional<Clip>& clip,
                                                     const at::Tensor& loss_scale, bool check_finite);

/// Whether no gradient holds NaN or an infinity: what `prepare_step` with `check_finite` alone finds out, for those who
/// want to know it now. It reads each gradient once, makes no tensor, and waits for a device.
[[nodiscard]] bool gradients_are_finite(const Parameters& parameters);

/// Throws Error for a value that is out of range. `where` names the optimizer in the message.
void check_clip(const Clip& clip, const std::string& where);

}  // namespace athanor
