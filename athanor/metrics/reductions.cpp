// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/reductions.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/host_scalar.hpp"

namespace athanor {
namespace {

[[noreturn]] void refuse_empty(const char* name) {
  throw Error({.what = std::string("a ") + name + " was asked for before anything was seen",
               .expected = "at least one update"});
}

}  // namespace

void Sum::update(double value) {
  sum_.add(value);
  empty_ = false;
}

void Sum::update(const at::Tensor& value) {
  metrics::detail::check_scalar(value);
  sum_.add(value, 1);
  empty_ = false;
}

void Sum::merge(const Sum& other) {
  sum_.merge(other.sum_);
  empty_ = empty_ && other.empty_;
}

void Sum::state(State& state) {
  sum_.state(state);
  state.value("empty", empty_);
}

void Last::update(double value) {
  host_ = value;
  device_ = at::Tensor();
  empty_ = false;
}

void Last::update(const at::Tensor& value) {
  metrics::detail::check_scalar(value);
  if (value.is_cpu()) {
    update(read_host_scalar(value));
    return;
  }
  device_ = metrics::detail::widened(value);
  empty_ = false;
}

void Last::merge(const Last& other) {
  if (!other.empty_) *this = other;
}

double Last::compute() const {
  if (empty_) refuse_empty("last value");
  return device_.defined() ? device_.item().toDouble() : host_;
}

void Last::state(State& state) {
  // Copies share the tensor, and loading writes in place.
  if (state.loading()) device_ = at::Tensor();
  state.value("value", host_);
  state.tensor("device_value", device_, State::Shape::free);
  state.value("empty", empty_);
}

namespace metrics::detail {
namespace {

template <Extreme extreme>
double more_extreme(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::nan("");
  return extreme == Extreme::minimum ? std::min(a, b) : std::max(a, b);
}

template <Extreme extreme>
at::Tensor more_extreme(const at::Tensor& a, const at::Tensor& b) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const at::Tensor here = a.to(b.options());
  return extreme == Extreme::minimum ? at::minimum(here, b) : at::maximum(here, b);
}

}  // namespace

template <Extreme extreme>
void Extremum<extreme>::update(double value) {
  host_ = host_seen_ ? more_extreme<extreme>(host_, value) : value;
  host_seen_ = true;
}

template <Extreme extreme>
void Extremum<extreme>::update(const at::Tensor& value) {
  check_scalar(value);
  if (value.is_cpu()) {
    update(read_host_scalar(value));
    return;
  }
  const at::Tensor wide = widened(value);
  device_ = device_.defined() ? more_extreme<extreme>(device_, wide) : wide;
}

template <Extreme extreme>
void Extremum<extreme>::merge(const Extremum& other) {
  if (other.host_seen_) update(other.host_);
  if (other.device_.defined()) {
    device_ = device_.defined() ? more_extreme<extreme>(other.device_, device_) : other.device_;
  }
}

template <Extreme extreme>
double Extremum<extreme>::compute() const {
  if (empty()) refuse_empty(extreme == Extreme::minimum ? "minimum" : "maximum");
  if (!device_.defined()) return host_;
  const double on_device = device_.item().toDouble();
  return host_seen_ ? more_extreme<extreme>(host_, on_device) : on_device;
}

template <Extreme extreme>
void Extremum<extreme>::state(State& state) {
  // Copies share the tensor, and loading writes in place.
  if (state.loading()) device_ = at::Tensor();
  state.value("value", host_);
  state.value("seen", host_seen_);
  state.tensor("device_value", device_, State::Shape::free);
}

template class Extremum<Extreme::minimum>;
template class Extremum<Extreme::maximum>;

}  // namespace metrics::detail
}  // namespace athanor
