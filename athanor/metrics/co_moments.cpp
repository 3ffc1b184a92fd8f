// SPDX-License-Identifier: Apache-2.0
// Means, spreads and the common spread of two variables.
#include "athanor/metrics/co_moments.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>

#include <string>

#include "athanor/core/error.hpp"
#include "athanor/metrics/elements.hpp"

namespace athanor::metrics::detail {
namespace {

/// Of `n` pairs x(i), y(i). Means are taken relative to the first value, so that equal values have exactly no spread.
template <class Xs, class Ys>
void moments_of_output(int64_t n, int64_t outputs, Xs x, Ys y, double* into) {
  const auto mean_of = [&](auto value) {
    const double first = value(0);
    return first + sum(n, [&](int64_t i) { return value(i) - first; }) / static_cast<double>(n);
  };
  const double mean_x = mean_of(x);
  const double mean_y = mean_of(y);
  const auto products = [&](auto a, double mean_a, auto b, double mean_b) {
    return sum(n, [&](int64_t i) { return (a(i) - mean_a) * (b(i) - mean_b); });
  };
  into[0] = mean_x;
  into[outputs] = mean_y;
  into[2 * outputs] = products(x, mean_x, x, mean_x);
  into[3 * outputs] = products(y, mean_y, y, mean_y);
  into[4 * outputs] = products(x, mean_x, y, mean_y);
}

}  // namespace

CoMoments::CoMoments(const CoMoments& other) : metric_(other.metric_), x_(other.x_), samples_(other.samples_) {
  const c10::InferenceMode normal(false);
  if (other.moments_.defined()) moments_ = other.moments_.clone();
}

void CoMoments::update(const at::Tensor& predictions, const at::Tensor& target) {
  check_pair(predictions, target, metric_);
  const int64_t samples = predictions.dim() == 0 ? 1 : predictions.size(0);
  if (predictions.numel() == 0) return;
  const int64_t outputs = predictions.numel() / samples;
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const bool residual = x_ == X::residual;
  if (predictions.is_cpu()) {
    at::Tensor moments = at::empty({5, outputs}, at::kDouble);
    auto* into = moments.mutable_data_ptr<double>();
    with_pair(predictions, target, [&](const auto* left, const auto* right, int64_t) {
      for (int64_t output = 0; output < outputs; ++output) {
        const auto y = [=](int64_t i) { return static_cast<double>(right[i * outputs + output]); };
        const auto x = [=](int64_t i) {
          const auto prediction = static_cast<double>(left[i * outputs + output]);
          return residual ? y(i) - prediction : prediction;
        };
        moments_of_output(samples, outputs, x, y, into + output);
      }
    });
    merge_moments(moments, samples);
  } else {
    const at::ScalarType wide = widest_on(predictions.device());
    const at::Tensor y = target.reshape({samples, outputs}).to(wide);
    at::Tensor x = predictions.reshape({samples, outputs}).to(wide);
    if (residual) x = y - x;
    const auto mean_of = [](const at::Tensor& values) {
      const at::Tensor first = values.select(0, 0);
      return first + (values - first).mean(0);
    };
    const at::Tensor mean_x = mean_of(x), mean_y = mean_of(y);
    const at::Tensor from_x = x - mean_x, from_y = y - mean_y;
    merge_moments(
        at::stack({mean_x, mean_y, from_x.mul(from_x).sum(0), from_y.mul(from_y).sum(0), from_x.mul(from_y).sum(0)}),
        samples);
  }
}

void CoMoments::merge_moments(const at::Tensor& moments, int64_t samples) {
  if (moments_.defined() && moments_.size(1) != moments.size(1)) {
    throw Error({.what = "the number of outputs changed under a metric",
                 .where = metric_,
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
      const double apart_x = theirs[i] - mine[i];
      const double apart_y = theirs[outputs + i] - mine[outputs + i];
      mine[i] += apart_x * share;
      mine[outputs + i] += apart_y * share;
      mine[2 * outputs + i] += theirs[2 * outputs + i] + apart_x * apart_x * weight;
      mine[3 * outputs + i] += theirs[3 * outputs + i] + apart_y * apart_y * weight;
      mine[4 * outputs + i] += theirs[4 * outputs + i] + apart_x * apart_y * weight;
    }
  } else {
    const at::Tensor apart = moments.narrow(0, 0, 2) - moments_.narrow(0, 0, 2);
    const at::Tensor x = apart.select(0, 0), y = apart.select(0, 1);
    moments_.narrow(0, 0, 2).add_(apart, share);
    moments_.narrow(0, 2, 3).add_(moments.narrow(0, 2, 3));
    moments_.narrow(0, 2, 3).add_(at::stack({x * x, y * y, x * y}), weight);
  }
  samples_ += samples;
}

void CoMoments::merge(const CoMoments& other) {
  if (!other.moments_.defined()) return;
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  merge_moments(moments_.defined() ? other.moments_.to(moments_.options()) : other.moments_.clone(), other.samples_);
}

std::vector<Moments> CoMoments::read() const {
  if (samples_ < 2) {
    throw Error({.what = "fewer than two samples have no variance",
                 .where = metric_,
                 .got = std::to_string(samples_) + " samples",
                 .expected = "2 or more",
                 .todo = "give it more data, or take another metric, such as mae"});
  }
  const at::Tensor host = moments_.to(at::kCPU, at::kDouble).contiguous();
  const auto* values = host.const_data_ptr<double>();
  const int64_t outputs = host.size(1);
  std::vector<Moments> read;
  for (int64_t i = 0; i < outputs; ++i) {
    read.push_back(
        {values[i], values[outputs + i], values[2 * outputs + i], values[3 * outputs + i], values[4 * outputs + i]});
  }
  return read;
}

void CoMoments::reset() {
  samples_ = 0;
  moments_ = at::Tensor();
}

void CoMoments::state(State& state) {
  state.value("samples", samples_);
  state.tensor("moments", moments_, State::Shape::free);
}

}  // namespace athanor::metrics::detail
