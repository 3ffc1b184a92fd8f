// SPDX-License-Identifier: Apache-2.0
// How much of a device's memory is in use.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

namespace athanor {

struct DeviceMemory {
  int64_t allocated_bytes = 0;  ///< In tensors, now.
  int64_t peak_bytes = 0;       ///< The most that was in tensors so far.
  int64_t reserved_bytes = 0;   ///< Held by LibTorch's allocator, tensors included.
  int64_t free_bytes = 0;       ///< Of the whole device, as its driver says.
  int64_t total_bytes = 0;
};

/// What LibTorch's allocator and the driver say of an accelerator. Doesn't wait for the device. Unset for the CPU,
/// whose memory is that of the process (`process_memory`), and for a device whose LibTorch does not tell.
[[nodiscard]] std::optional<DeviceMemory> device_memory(at::Device device);

}  // namespace athanor
