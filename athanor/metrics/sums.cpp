// SPDX-License-Identifier: Apache-2.0
// Sums that live where the batches come from.
#include "athanor/metrics/sums.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <string>

#include "athanor/core/error.hpp"
#include "athanor/metrics/counts.hpp"

namespace athanor::metrics::detail {
namespace {

[[noreturn]] void refuse_number_of_sums(const char* metric, int64_t before, int64_t now) {
  throw Error({.what = "the number of values changed under a metric",
               .where = metric,
               .got = std::to_string(now),
               .expected = std::to_string(before) + ", as at the first batch",
               .todo = "reset() it, or use one metric for each"});
}

}  // namespace

Sums::Sums(const Sums& other) {
  const c10::InferenceMode normal(false);
  if (!other.empty()) sums_ = other.sums_.detach().clone();
}

double* Sums::on_host(int64_t size) {
  if (empty()) {
    const c10::InferenceMode normal(false);
    sums_ = at::zeros({size + 1}, at::kDouble);
  } else {
    if (sums_.numel() != size + 1) refuse_number_of_sums("update", sums_.numel() - 1, size);
    if (!sums_.is_cpu()) sums_ = sums_.to(at::kCPU, at::kDouble);
  }
  return sums_.mutable_data_ptr<double>();
}

void Sums::add(const at::Tensor& sums) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  if (empty()) {
    sums_ = sums.clone();
    return;
  }
  if (sums_.numel() != sums.numel()) refuse_number_of_sums("update", sums_.numel() - 1, sums.numel() - 1);
  if (sums_.device() != sums.device()) sums_ = sums_.to(sums.options());
  sums_.add_(sums);
}

void Sums::merge(const Sums& other, const char* metric) {
  if (other.empty()) return;
  if (!empty() && sums_.numel() != other.sums_.numel()) {
    refuse_number_of_sums(metric, sums_.numel() - 1, other.sums_.numel() - 1);
  }
  add(empty() ? other.sums_ : other.sums_.to(sums_.options()));
}

std::vector<double> Sums::read(const char* metric) const {
  if (empty()) {
    throw Error({.what = "a metric was asked for its value before anything was seen",
                 .where = metric,
                 .expected = "at least one sample",
                 .todo = "call update() first"});
  }
  const at::Tensor host = sums_.to(at::kCPU, at::kDouble);
  const auto* first = host.const_data_ptr<double>();
  const int64_t size = host.numel() - 1;
  check_refused(static_cast<int64_t>(first[size]), metric);
  return {first, first + size};
}

}  // namespace athanor::metrics::detail
