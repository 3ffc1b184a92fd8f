// SPDX-License-Identifier: Apache-2.0
// Masks of tensors as run lengths, and back.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "athanor/core/tree.hpp"
#include "athanor/metrics/run_length.hpp"

namespace athanor::metrics {

/// A mask (H, W), bool or uint8, where what is not 0 belongs to it. Waits for the device. Throws Error for others.
[[nodiscard]] RunLengthMask encode_mask(const at::Tensor& mask);
/// bool (H, W) on the CPU.
[[nodiscard]] at::Tensor decode_mask(const RunLengthMask& mask);

namespace detail {

/// The masks of an image on the CPU: bool or uint8 (N, H, W), or a list of {size: (H, W), counts: the compressed text
/// or integers (runs)}, as COCO's files have them. Throws Error that begins its place with `where`.
[[nodiscard]] std::vector<RunLengthMask> read_masks(const Tree& masks, const std::string& where);

}  // namespace detail
}  // namespace athanor::metrics
