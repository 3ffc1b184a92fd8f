// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/precision.hpp"

#include <ATen/autocast_mode.h>

#include <array>

namespace athanor {

std::span<const std::pair<const char*, Precision>> enum_names(Precision) noexcept {
  static constexpr std::array names = {std::pair{"float32", Precision::float32},
                                       std::pair{"float64", Precision::float64}, std::pair{"bf16", Precision::bf16},
                                       std::pair{"f16", Precision::f16}, std::pair{"bf16_true", Precision::bf16_true}};
  return names;
}

std::optional<at::ScalarType> dtype_of(Precision precision) noexcept {
  if (precision == Precision::float64) return at::kDouble;
  if (precision == Precision::bf16_true) return at::kBFloat16;
  return std::nullopt;
}

at::Tensor with_channels_last(const at::Tensor& tensor) {
  constexpr at::MemoryFormat last = at::MemoryFormat::ChannelsLast;
  if (tensor.dim() != 4 || tensor.suggest_memory_format() == last) return tensor;
  if (!tensor.is_contiguous(last)) return tensor.contiguous(last);
  return tensor.as_strided(tensor.sizes(), c10::get_channels_last_strides_2d(tensor.sizes()));
}

AutocastGuard::AutocastGuard(Precision precision, at::DeviceType device)
    : active_(precision == Precision::bf16 || precision == Precision::f16), device_(device) {
  if (!active_) return;
  enabled_before_ = at::autocast::is_autocast_enabled(device_);
  dtype_before_ = at::autocast::get_autocast_dtype(device_);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, precision == Precision::bf16 ? at::kBFloat16 : at::kHalf);
  at::autocast::increment_nesting();
}

AutocastGuard::~AutocastGuard() {
  if (!active_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, enabled_before_);
  at::autocast::set_autocast_dtype(device_, dtype_before_);
}

}  // namespace athanor
