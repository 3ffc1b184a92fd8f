// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/device_memory.hpp"

#include <ATen/DeviceAccelerator.h>

namespace athanor {

std::optional<DeviceMemory> device_memory(at::Device device) {
  if (!at::accelerator::isAccelerator(device.type()) || at::accelerator::getAccelerator() != device.type()) return {};
  const c10::DeviceIndex index = device.has_index() ? device.index() : at::accelerator::getDeviceIndex();
  const auto whole = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats = at::accelerator::getDeviceStats(index);
  const auto [free, total] = at::accelerator::getMemoryInfo(index);
  return DeviceMemory{.allocated_bytes = stats.allocated_bytes[whole].current,
                      .peak_bytes = stats.allocated_bytes[whole].peak,
                      .reserved_bytes = stats.reserved_bytes[whole].current,
                      .free_bytes = static_cast<int64_t>(free),
                      .total_bytes = static_cast<int64_t>(total)};
}

}  // namespace athanor
