// SPDX-License-Identifier: Apache-2.0
// R², the coefficient of determination.
#include "athanor/metrics/r2.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>

#include "athanor/core/error.hpp"
#include "athanor/metrics/elements.hpp"

namespace athanor::metrics {
namespace {

/// Mean, squared distances and squared residuals of one output of a batch. The mean is taken relative to the first
/// target, so that equal targets have exactly no spread.
template <class T>
void add_output(const T* predictions, const T* target, int64_t samples, int64_t outputs, int64_t output,
                double* moments) {
  const auto at = [&](const T* from, int64_t i) { return static_cast<double>(from[i * outputs + output]); };
  const double first = at(target, 0);
  const double shift = detail::sum(samples, [&](int64_t i) { return at(target, i) - first; });
  const double mean = first + shift / static_cast<double>(samples);
  moments[output] = mean;
  moments[outputs + output] = detail::sum(samples, [&](int64_t i) {
    const double distance = at(target, i) - mean;
    return distance * distance;
  });
  moments[2 * outputs + output] = detail::sum(samples, [&](int64_t i) {
    const double residual = at(target, i) - at(predictions, i);
    return residual * residual;
  });
}

}  // namespace

R2::R2(const R2& other) : samples_(other.samples_) {
  const c10::InferenceMode normal(false);
  if (other.moments_.defined()) moments_ = other.moments_.clone();
}

void R2::update(const at::Tensor& predictions, const at::Tensor& target) {
  detail::check_pair(predictions, target, "r2");
  const int64_t samples = predictions.dim() == 0 ? 1 : predictions.size(0);
  if (predictions.numel() == 0) return;
  const int64_t outputs = predictions.numel() / samples;
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  if (predictions.is_cpu()) {
    at::Tensor moments = at::empty({3, outputs}, at::kDouble);
    auto* into = moments.mutable_data_ptr<double>();
    detail::with_pair(predictions, target, [&](const auto* left, const auto* right, int64_t) {
      for (int64_t output = 0; output < outputs; ++output) add_output(left, right, samples, outputs, output, into);
    });
    merge_moments(moments, samples);
  } else {
    const at::ScalarType wide = detail::widest_on(predictions.device());
    const at::Tensor truth = target.reshape({samples, outputs}).to(wide);
    const at::Tensor first = truth.select(0, 0);
    const at::Tensor mean = first + (truth - first).mean(0);
    const at::Tensor distances = truth - mean;
    const at::Tensor residuals = truth - predictions.reshape({samples, outputs}).to(wide);
    merge_moments(at::stack({mean, distances.mul(distances).sum(0), residuals.mul(residuals).sum(0)}), samples);
  }
}

void R2::merge_moments(const at::Tensor& moments, int64_t samples) {
  if (moments_.defined() && moments_.size(1) != moments.size(1)) {
    throw Error({.what = "the number of outputs changed under a metric",
                 .where = "r2",
                 .got = std::to_string(moments.size(1)) + " outputs",
                 .expected = std::to_string(moments_.size(1)) + ", as at the first batch",
                 .todo = "reset() it, or use one metric for each"});
  }
  if (!moments_.defined()) {
    moments_ = moments;
    samples_ = samples;
    return;
  }
  if (moments_.device() != moments.device()) moments_ = moments_.to(moments.options());
  const double total = static_cast<double>(samples_ + samples);
  const double share = static_cast<double>(samples) / total;
  const double weight = static_cast<double>(samples_) * share;
  if (moments.is_cpu()) {
    auto* mine = moments_.mutable_data_ptr<double>();
    const auto* theirs = moments.const_data_ptr<double>();
    const int64_t outputs = moments.size(1);
    for (int64_t i = 0; i < outputs; ++i) {
      const double apart = theirs[i] - mine[i];
      mine[i] += apart * share;
      mine[outputs + i] += theirs[outputs + i] + apart * apart * weight;
      mine[2 * outputs + i] += theirs[2 * outputs + i];
    }
  } else {
    const at::Tensor apart = moments.select(0, 0) - moments_.select(0, 0);
    moments_.select(0, 0).add_(apart, share);
    moments_.narrow(0, 1, 2).add_(moments.narrow(0, 1, 2));
    moments_.select(0, 1).add_(apart * apart, weight);
  }
  samples_ += samples;
}

void R2::merge(const R2& other) {
  if (!other.moments_.defined()) return;
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  merge_moments(moments_.defined() ? other.moments_.to(moments_.options()) : other.moments_.clone(), other.samples_);
}

double R2::compute() const {
  if (samples_ < 2) {
    throw Error({.what = "R² needs at least two samples: fewer have no variance",
                 .where = "r2",
                 .got = std::to_string(samples_) + " samples",
                 .expected = "2 or more",
                 .todo = "give it more data, or take another metric, such as mae"});
  }
  const at::Tensor moments = moments_.to(at::kCPU, at::kDouble).contiguous();
  const auto* values = moments.const_data_ptr<double>();
  const int64_t outputs = moments.size(1);
  const double total = detail::sum(outputs, [&](int64_t i) {
    const double spread = values[outputs + i];
    const double residuals = values[2 * outputs + i];
    if (spread == 0) return residuals == 0 ? 1.0 : residuals != residuals ? residuals : 0.0;
    return 1 - residuals / spread;
  });
  return total / static_cast<double>(outputs);
}

void R2::reset() {
  samples_ = 0;
  moments_ = at::Tensor();
}

void R2::state(State& state) {
  state.value("samples", samples_);
  state.tensor("moments", moments_, State::Shape::free);
}

R2 r2() { return {}; }

double r2(const at::Tensor& predictions, const at::Tensor& target) {
  R2 metric;
  metric.update(predictions, target);
  return metric.compute();
}

}  // namespace athanor::metrics
