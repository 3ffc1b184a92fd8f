// SPDX-License-Identifier: Apache-2.0
// In which numbers the net computes.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>
#include <utility>

namespace athanor {

enum class Precision {
  float32,    ///< Everything as it was made.
  float64,    ///< Nets and floating-point inputs in double: for checking numbers, not for speed.
  bf16,       ///< Autocast: weights stay float32, matrix products and convolutions run in bfloat16.
  f16,        ///< Autocast in float16, with a loss scaler that skips a step whose gradients overflow.
  bf16_true,  ///< Nets and floating-point inputs in bfloat16: half the memory, and steps below 1/256 of a weight are
              ///< lost.
};
/// For options from outside: `float32`, `float64`, `bf16`, `f16`, `bf16_true`.
[[nodiscard]] std::span<const std::pair<const char*, Precision>> enum_names(Precision) noexcept;

/// The dtype of weights and inputs; unset: as they are.
[[nodiscard]] std::optional<at::ScalarType> dtype_of(Precision precision) noexcept;

/// The same numbers with the channels last in memory, in a way that operators see: with one channel, or one pixel, both
/// orders are the same memory, and LibTorch goes by the strides. Copies only where numbers have to move. Any tensor
/// (N, C, H, W); others are returned as they are.
[[nodiscard]] at::Tensor with_channels_last(const at::Tensor& tensor);

/// Autocast for as long as it lives, for those precisions that use it; then what was set before, with the cache of cast
/// weights emptied.
class AutocastGuard {
 public:
  AutocastGuard(Precision precision, at::DeviceType device);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  bool active_;
  at::DeviceType device_;
  bool enabled_before_ = false;
  at::ScalarType dtype_before_ = at::kFloat;
};

}  // namespace athanor
