// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/kernels.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Pool.h>
#include <ATen/ops/max_pool2d_with_indices_cpu_dispatch.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <type_traits>

#include "athanor/core/max_pool.hpp"

namespace athanor {
namespace {

using at::native::DispatchStubImpl;
using PoolStub = std::remove_reference_t<decltype(at::native::max_pool2d_kernel)>;

/// LibTorch keeps the kernel that it chose for this processor in an atomic pointer, which is null until the first call.
/// The struct that holds it is the stub's only member, so the address of the one is that of the other.
static_assert(std::is_standard_layout_v<PoolStub> && sizeof(PoolStub) == sizeof(DispatchStubImpl));

std::atomic<void*>& pool_pointer() {
  return reinterpret_cast<DispatchStubImpl&>(at::native::max_pool2d_kernel).cpu_dispatch_ptr;
}

std::atomic<at::native::max_pool2d_fn> libtorch_pool = nullptr;

bool is_plain_2x2(const at::Tensor& output, const at::Tensor& indices, const at::Tensor& input) {
  const int64_t height = input.size(-2), width = input.size(-1);
  return input.scalar_type() == at::kFloat && input.is_contiguous() &&
         input.suggest_memory_format() == at::MemoryFormat::Contiguous && output.is_contiguous() &&
         indices.is_contiguous() && output.size(-2) == height / 2 && output.size(-1) == width / 2 &&
         height * width <= std::numeric_limits<int32_t>::max();
}

/// Fewer than these are not worth waking another thread for.
constexpr int64_t values_per_task = 1 << 15;

void max_pool(const at::Tensor& output, const at::Tensor& indices, const at::Tensor& input, int kernel_width,
              int kernel_height, int stride_width, int stride_height, int padding_width, int padding_height,
              int dilation_width, int dilation_height) {
  const bool ours = kernel_width == 2 && kernel_height == 2 && stride_width == 2 && stride_height == 2 &&
                    padding_width == 0 && padding_height == 0 && dilation_width == 1 && dilation_height == 1 &&
                    is_plain_2x2(output, indices, input);
  if (!ours) {
    libtorch_pool.load(std::memory_order_acquire)(output, indices, input, kernel_width, kernel_height, stride_width,
                                                  stride_height, padding_width, padding_height, dilation_width,
                                                  dilation_height);
    return;
  }
  const int64_t height = input.size(-2), width = input.size(-1);
  const int64_t plane = height * width, pooled = (height / 2) * (width / 2);
  const auto* from = input.const_data_ptr<float>();
  auto* to = output.mutable_data_ptr<float>();
  auto* where = indices.mutable_data_ptr<int64_t>();
  const int64_t planes_per_task = std::max<int64_t>(1, values_per_task / plane);
  at::parallel_for(0, input.numel() / plane, planes_per_task, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      max_pool_2x2(from + i * plane, to + i * pooled, where + i * pooled, height, width);
    }
  });
}

void* as_pointer(at::native::max_pool2d_fn kernel) { return reinterpret_cast<void*>(kernel); }

std::mutex mutex;
int living = 0;

}  // namespace

FastKernels::FastKernels() {
  const std::lock_guard lock(mutex);
  if (living == 0) {
    std::atomic<void*>& pointer = pool_pointer();
    if (pointer.load() == nullptr) {
      at::cpu::max_pool2d_with_indices(at::zeros({1, 2, 2}, at::kFloat), {2, 2});
    }
    if (void* present = pointer.load(); present != as_pointer(&max_pool)) {
      libtorch_pool.store(reinterpret_cast<at::native::max_pool2d_fn>(present), std::memory_order_release);
      pointer.store(as_pointer(&max_pool));
    }
  }
  ++living;
}

FastKernels::~FastKernels() {
  const std::lock_guard lock(mutex);
  if (--living > 0) return;
  // Somebody else may have exchanged the pointer since; theirs then stays.
  void* ours = as_pointer(&max_pool);
  pool_pointer().compare_exchange_strong(ours, as_pointer(libtorch_pool.load()));
}

}  // namespace athanor
