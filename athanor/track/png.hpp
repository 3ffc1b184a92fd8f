// SPDX-License-Identifier: Apache-2.0
// Pictures as PNG (ISO/IEC 15948).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace athanor::track {

struct Png {
  std::string bytes;
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 1;
};

/// A picture (H, W) or (C, H, W) with 1 (grey), 3 (RGB) or 4 (RGBA) channels: uint8, or floating point where 0 is black
/// and 1 white; what lies outside is cut off, NaN is black. Throws Error for another shape or dtype. Waits for the
/// device.
[[nodiscard]] Png encode_png(const at::Tensor& pixels);

}  // namespace athanor::track
