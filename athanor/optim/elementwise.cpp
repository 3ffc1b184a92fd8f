// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/elementwise.hpp"

#include <ATen/ScalarOps.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_mul.h>

#include <algorithm>

#include "athanor/core/parallel.hpp"

namespace athanor::optim::detail {

void run_elements(std::span<const ElementJob> jobs) {
  // Fewer numbers are not worth waking another thread for.
  constexpr int64_t smallest_piece = 1 << 14;
  int64_t total = 0;
  for (const ElementJob& job : jobs) total += job.count;
  parallel_for(total, smallest_piece, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const ElementJob& job : jobs) {
      const int64_t from = std::max(begin - first, int64_t{0});
      const int64_t to = std::min(end - first, job.count);
      if (from < to) job.run(job, from, to);
      first += job.count;
      if (first >= end) return;
    }
  });
}

void scale(const at::Tensor& tensor, double factor) { tensor.mul_(at::native::wrapped_scalar_tensor(factor)); }

void scale_all(const std::vector<at::Tensor>& tensors, double factor) {
  if (!tensors.empty() && !tensors.front().is_cpu()) return at::_foreach_mul_(tensors, factor);
  for (const at::Tensor& tensor : tensors) scale(tensor, factor);
}

void scale_all(const std::vector<at::Tensor>& tensors, const std::vector<at::Scalar>& factors) {
  if (!tensors.empty() && !tensors.front().is_cpu()) return at::_foreach_mul_(tensors, factors);
  for (size_t i = 0; i < tensors.size(); ++i) scale(tensors[i], factors[i].toDouble());
}

std::vector<at::Tensor> scaled_all(const std::vector<at::Tensor>& tensors, double factor) {
  if (!tensors.empty() && !tensors.front().is_cpu()) return at::_foreach_mul(tensors, factor);
  std::vector<at::Tensor> scaled;
  scaled.reserve(tensors.size());
  for (const at::Tensor& tensor : tensors) scaled.push_back(tensor.mul(at::native::wrapped_scalar_tensor(factor)));
  return scaled;
}

void divide_gradients(std::vector<at::Tensor>& gradients, const at::Tensor& divisor) {
  if (gradients.empty()) return;
  const bool is_reduced =
      gradients.front().scalar_type() == at::kHalf || gradients.front().scalar_type() == at::kBFloat16;
  if (!is_reduced && !gradients.front().is_cpu()) return at::_foreach_div_(gradients, divisor);
  for (const at::Tensor& gradient : gradients) {
    const bool reduced = gradient.scalar_type() == at::kHalf || gradient.scalar_type() == at::kBFloat16;
    if (reduced) {
      gradient.copy_(gradient.to(at::kFloat).div_(divisor));
    } else {
      gradient.div_(divisor);
    }
  }
}

void divide_group(const Parameters& parameters, const StepScale& scale) {
  const bool on_device = scale.on_device.defined();
  if (!on_device && scale.divisor == 1) return;
  std::vector<at::Tensor> gradients;
  for (const Parameter& parameter : parameters) {
    if (parameter.tensor.grad().defined()) gradients.push_back(parameter.tensor.grad());
  }
  divide_gradients(gradients, on_device ? scale.on_device : make_host_scalar(static_cast<float>(scale.divisor)));
}

StepScale step_scale(const GradientScale& scale, at::Device device, const std::string& optimizer) {
  const KernelScale checked = kernel_scale(scale, device, optimizer);
  StepScale result;
  result.skip = checked.skip || (checked.found_inf && checked.found_inf->item<float>() != 0);
  if (!checked.divisor) return result;
  if (checked.divisor->is_cpu()) {
    result.divisor = read_host_scalar(*checked.divisor);
  } else {
    result.on_device = *checked.divisor;
  }
  return result;
}

}  // namespace athanor::optim::detail
