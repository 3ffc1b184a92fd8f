// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/scalars.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include "athanor/core/error.hpp"
#include "athanor/core/host_scalar.hpp"
#include "athanor/metrics/elements.hpp"

namespace athanor::metrics::detail {

void check_scalar(const at::Tensor& value) {
  if (value.defined() && value.numel() == 1 && !value.is_complex()) return;
  throw Error({.what = "a value to be accumulated is not a single number",
               .got = describe(value),
               .expected = "a scalar tensor",
               .todo = "reduce it first, for example by .mean()"});
}

at::Tensor widened(const at::Tensor& value) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  return value.detach().reshape({}).to(widest_on(value.device()), /*non_blocking=*/false, /*copy=*/true);
}

ScalarSum::ScalarSum(const ScalarSum& other)
    : host_(other.host_), device_(other.device_.defined() ? other.device_.clone() : at::Tensor()) {}

void ScalarSum::add(const at::Tensor& value, double weight) {
  if (value.is_cpu()) {
    add(read_host_scalar(value) * weight);
    return;
  }
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  at::Tensor term = widened(value);
  if (weight != 1) term.mul_(weight);
  if (!device_.defined()) {
    device_ = term;
  } else {
    if (device_.device() != term.device()) device_ = device_.to(term.options());
    device_.add_(term);
  }
}

void ScalarSum::merge(const ScalarSum& other) {
  host_ += other.host_;
  if (!other.device_.defined()) return;
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  device_ = device_.defined() ? device_ + other.device_.to(device_.options()) : other.device_.clone();
}

double ScalarSum::read() const { return (device_.defined() ? device_.item().toDouble() : 0.0) + host_; }

void ScalarSum::state(State& state) {
  state.value("sum", host_);
  state.tensor("device_sum", device_, State::Shape::free);
}

}  // namespace athanor::metrics::detail
