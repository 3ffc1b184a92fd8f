// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/kernels.hpp"

#include <ATen/EmptyTensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/max_pool2d_with_indices_cpu_dispatch.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <optional>
#include <string>
#include <tuple>

#include "athanor/core/max_pool.hpp"
#include "athanor/core/parallel.hpp"

namespace athanor {
namespace {

std::atomic<int> living = 0;
std::atomic<uint64_t> answered = 0;

/// One or two numbers, as LibTorch takes them for height and width, all equal to `value`.
bool all_are(at::IntArrayRef numbers, int64_t value) {
  return (numbers.size() == 1 || numbers.size() == 2) &&
         std::all_of(numbers.begin(), numbers.end(), [&](int64_t number) { return number == value; });
}

bool is_plain(const at::Tensor& input) {
  if (input.scalar_type() != at::kFloat || (input.dim() != 3 && input.dim() != 4) || input.numel() == 0) return false;
  const int64_t height = input.size(-2), width = input.size(-1);
  return height >= 2 && width >= 2 && height <= std::numeric_limits<int32_t>::max() / width && input.is_contiguous() &&
         input.suggest_memory_format() == at::MemoryFormat::Contiguous;
}

std::tuple<at::Tensor, at::Tensor> pool_plain(const at::Tensor& input) {
  // Fewer values are not worth waking another thread for.
  constexpr int64_t values_per_task = 1 << 15;
  const int64_t height = input.size(-2), width = input.size(-1);
  auto shape = at::DimVector(input.sizes());
  shape.end()[-2] = height / 2;
  shape.end()[-1] = width / 2;
  std::tuple<at::Tensor, at::Tensor> result(at::detail::empty_cpu(shape, input.options()),
                                            at::detail::empty_cpu(shape, input.options().dtype(at::kLong)));
  const int64_t plane = height * width, pooled = (height / 2) * (width / 2);
  const auto* from = input.const_data_ptr<float>();
  auto* values = std::get<0>(result).mutable_data_ptr<float>();
  auto* indices = std::get<1>(result).mutable_data_ptr<int64_t>();
  parallel_for(input.numel() / plane, values_per_task / plane, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      max_pool_2x2(from + i * plane, values + i * pooled, indices + i * pooled, height, width);
    }
  });
  return result;
}

std::tuple<at::Tensor, at::Tensor> max_pool(const at::Tensor& input, at::IntArrayRef kernel, at::IntArrayRef stride,
                                            at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode) {
  const bool ours = living.load(std::memory_order_relaxed) > 0 && all_are(kernel, 2) &&
                    (stride.empty() || all_are(stride, 2)) && all_are(padding, 0) && all_are(dilation, 1) &&
                    !ceil_mode && is_plain(input);
  // Not through the dispatcher, which would lead back here.
  if (!ours) return at::cpu::max_pool2d_with_indices(input, kernel, stride, padding, dilation, ceil_mode);
  answered.fetch_add(1, std::memory_order_relaxed);
  return pool_plain(input);
}

class Silence : public c10::WarningHandler {
 public:
  void process(const c10::Warning& /*warning*/) override {}
};

/// LibTorch lists the kernels of an operator; one that has been overridden is "inactive".
bool is_overridden(const char* name) {
  const std::string kernels = c10::Dispatcher::singleton().findSchemaOrThrow(name, "").dumpState();
  return kernels.find("\nCPU (inactive)") != std::string::npos;
}

/// Empty when another library was first.
std::optional<torch::Library> registration() {
  if (is_overridden("aten::max_pool2d_with_indices")) return std::nullopt;
  Silence silence;
  const c10::WarningUtils::WarningHandlerGuard guard(&silence);
  torch::Library library(torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__);
  library.impl("max_pool2d_with_indices", TORCH_FN(max_pool));
  return library;
}

bool ensure_registered() {
  static const std::optional<torch::Library> library = registration();
  return library.has_value();
}

}  // namespace

FastKernels::FastKernels() {
  ensure_registered();
  ++living;
}

FastKernels::~FastKernels() { --living; }

bool FastKernels::in_use() const noexcept { return ensure_registered(); }

uint64_t FastKernels::calls() noexcept { return answered.load(std::memory_order_relaxed); }

}  // namespace athanor
