// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/unit_flags.hpp"

#include <ATen/EmptyTensor.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

namespace athanor {
namespace {

bool is_plain(const at::Tensor& values) {
  return values.is_cpu() && values.scalar_type() == at::kFloat && values.is_contiguous();
}

/// Without operators, of which each costs as much as to look at thousands of numbers.
template <class Is>
at::Tensor always_of_plain(const at::Tensor& values, int64_t dimension, Is is) {
  const at::IntArrayRef sizes = values.sizes();
  const int64_t units = sizes.empty() ? 1 : sizes[static_cast<size_t>(dimension)];
  const auto behind = sizes.empty() ? sizes : sizes.slice(static_cast<size_t>(dimension) + 1);
  const int64_t inner = std::accumulate(behind.begin(), behind.end(), int64_t{1}, std::multiplies<>());
  at::Tensor made = at::detail::empty_cpu(sizes.empty() ? at::IntArrayRef() : at::IntArrayRef(units), at::kBool);
  bool* flags = made.mutable_data_ptr<bool>();
  std::fill(flags, flags + units, true);
  const auto* numbers = values.const_data_ptr<float>();
  const float* const end = numbers + values.numel();
  for (bool any = true; any && numbers != end;) {
    any = false;
    for (int64_t unit = 0; unit < units; ++unit, numbers += inner) {
      flags[unit] = flags[unit] && std::all_of(numbers, numbers + inner, is);
      any = any || flags[unit];
    }
  }
  return made;
}

at::Tensor along(const at::Tensor& flags, int64_t dimension) {
  std::vector<int64_t> others;
  for (int64_t i = 0; i < flags.dim(); ++i) {
    if (i != dimension) others.push_back(i);
  }
  return others.empty() ? flags : flags.all(others);
}

}  // namespace

at::Tensor always_zero(const at::Tensor& values, int64_t dimension) {
  if (is_plain(values)) return always_of_plain(values, dimension, [](float x) { return x == 0; });
  const at::NoGradGuard no_grad;
  return along(values.eq(0), dimension);
}

at::Tensor always_away(const at::Tensor& values, int64_t dimension, double middle, double distance) {
  if (is_plain(values)) {
    const auto center = static_cast<float>(middle), least = static_cast<float>(distance);  // as the operators have it
    return always_of_plain(values, dimension, [=](float x) { return std::abs(x - center) >= least; });
  }
  const at::NoGradGuard no_grad;
  return along((values - middle).abs().ge(distance), dimension);
}

int64_t count_set(const at::Tensor& flags) {
  if (!flags.is_cpu() || !flags.is_contiguous()) return flags.sum().item<int64_t>();
  const bool* first = flags.const_data_ptr<bool>();
  return std::count(first, first + flags.numel(), true);
}

}  // namespace athanor
