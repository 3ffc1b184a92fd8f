// SPDX-License-Identifier: Apache-2.0
// Errors of regression.
#include "athanor/metrics/regression.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/metrics/elements.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics {
namespace {

constexpr double least_target = std::numeric_limits<double>::epsilon();

/// Not abs(), which has no kernel for meta tensors in C++: by those the tests see that nothing is read back.
at::Tensor size_of(const at::Tensor& values) { return values.maximum(values.neg()); }

/// Adds the mean of `term(prediction, target)` over the elements; `on_device` does the same to two tensors.
template <class Term, class OnDevice>
void add_errors(WeightedMean& mean, const at::Tensor& predictions, const at::Tensor& target, const char* metric,
                Term term, OnDevice on_device) {
  detail::check_pair(predictions, target, metric);
  const auto count = static_cast<double>(predictions.numel());
  if (count == 0) return;
  if (predictions.is_cpu()) {
    const double total = detail::with_pair(predictions, target, [&](const auto* left, const auto* right, int64_t n) {
      return detail::sum(n,
                         [&](int64_t i) { return term(static_cast<double>(left[i]), static_cast<double>(right[i])); });
    });
    mean.update(total / count, count);
  } else {
    const at::NoGradGuard no_grad;
    const at::ScalarType wide = detail::widest_on(predictions.device());
    mean.update(on_device(predictions.reshape(-1).to(wide), target.reshape(-1).to(wide)).mean(), count);
  }
}

}  // namespace

void MeanAbsoluteError::update(const at::Tensor& predictions, const at::Tensor& target) {
  add_errors(
      mean_, predictions, target, "mean absolute error", [](double p, double t) { return std::abs(p - t); },
      [](const at::Tensor& p, const at::Tensor& t) { return size_of(p - t); });
}

void MeanSquaredError::update(const at::Tensor& predictions, const at::Tensor& target) {
  add_errors(
      mean_, predictions, target, "mean squared error", [](double p, double t) { return (p - t) * (p - t); },
      [](const at::Tensor& p, const at::Tensor& t) { return (p - t).square(); });
}

double RootMeanSquaredError::compute() const { return std::sqrt(MeanSquaredError::compute()); }

void MeanAbsolutePercentageError::update(const at::Tensor& predictions, const at::Tensor& target) {
  add_errors(
      mean_, predictions, target, "mean absolute percentage error",
      [](double p, double t) { return std::abs(p - t) / (std::abs(t) < least_target ? least_target : std::abs(t)); },
      [](const at::Tensor& p, const at::Tensor& t) { return size_of(p - t) / size_of(t).clamp_min(least_target); });
}

void SymmetricMeanAbsolutePercentageError::update(const at::Tensor& predictions, const at::Tensor& target) {
  constexpr double least = std::numeric_limits<double>::min();
  constexpr float least_on_device = std::numeric_limits<float>::min();
  add_errors(
      mean_, predictions, target, "symmetric mean absolute percentage error",
      [](double p, double t) {
        const double both = std::abs(p) + std::abs(t);
        return 2 * std::abs(p - t) / (both < least ? least : both);
      },
      [](const at::Tensor& p, const at::Tensor& t) {
        return 2 * size_of(p - t) / (size_of(p) + size_of(t)).clamp_min(least_on_device);
      });
}

QuantileLoss::QuantileLoss(double quantile) : quantile_(quantile) {
  if (quantile >= 0 && quantile <= 1) return;
  throw Error({.what = "the quantile is out of range",
               .where = "quantile loss",
               .got = shortest(quantile),
               .expected = "0 to 1"});
}

void QuantileLoss::update(const at::Tensor& predictions, const at::Tensor& target) {
  const double above = quantile_, below = 1 - quantile_;
  add_errors(
      mean_, predictions, target, "quantile loss",
      [=](double p, double t) { return p < t ? above * (t - p) : below * (p - t); },
      [=](const at::Tensor& p, const at::Tensor& t) {
        return (t - p).clamp_min(0) * above + (p - t).clamp_min(0) * below;
      });
}

void QuantileLoss::merge(const QuantileLoss& other) {
  detail::check_alike(alike(other), name());
  mean_.merge(other.mean_);
}

void CosineSimilarity::update(const at::Tensor& predictions, const at::Tensor& target) {
  detail::check_pair(predictions, target, "cosine similarity");
  if (predictions.dim() < 2 || predictions.sizes() != target.sizes()) {
    throw Error({.what = "a cosine needs a vector for each sample",
                 .where = "cosine similarity",
                 .got = "predictions " + describe(predictions) + ", target " + describe(target),
                 .expected = "(N, D) for both",
                 .todo = "for a single pair of vectors, unsqueeze(0)"});
  }
  if (predictions.numel() == 0) return;
  const int64_t samples = predictions.size(0);
  const int64_t width = predictions.numel() / samples;
  const auto weight = static_cast<double>(samples);
  if (predictions.is_cpu()) {
    const double total = detail::with_pair(predictions, target, [&](const auto* left, const auto* right, int64_t) {
      double cosines = 0;
      for (int64_t n = 0; n < samples; ++n) {
        const auto* a = left + n * width;
        const auto* b = right + n * width;
        const auto product = [&](const auto* one, const auto* other) {
          return detail::sum(width,
                             [&](int64_t i) { return static_cast<double>(one[i]) * static_cast<double>(other[i]); });
        };
        cosines += product(a, b) / (std::sqrt(product(a, a)) * std::sqrt(product(b, b)));
      }
      return cosines;
    });
    mean_.update(total / weight, weight);
  } else {
    const at::NoGradGuard no_grad;
    const at::ScalarType wide = detail::widest_on(predictions.device());
    const at::Tensor a = predictions.reshape({samples, width}).to(wide);
    const at::Tensor b = target.reshape({samples, width}).to(wide);
    mean_.update(((a * b).sum(1) / ((a * a).sum(1).sqrt() * (b * b).sum(1).sqrt())).mean(), weight);
  }
}

MeanAbsoluteError mae() { return {}; }
MeanSquaredError mse() { return {}; }
RootMeanSquaredError rmse() { return {}; }
MeanAbsolutePercentageError mape() { return {}; }
SymmetricMeanAbsolutePercentageError smape() { return {}; }
QuantileLoss quantile_loss(double quantile) { return QuantileLoss(quantile); }
CosineSimilarity cosine_similarity() { return {}; }

double mae(const at::Tensor& predictions, const at::Tensor& target) { return once(mae(), predictions, target); }
double mse(const at::Tensor& predictions, const at::Tensor& target) { return once(mse(), predictions, target); }
double rmse(const at::Tensor& predictions, const at::Tensor& target) { return once(rmse(), predictions, target); }
double mape(const at::Tensor& predictions, const at::Tensor& target) { return once(mape(), predictions, target); }
double smape(const at::Tensor& predictions, const at::Tensor& target) { return once(smape(), predictions, target); }
double quantile_loss(const at::Tensor& predictions, const at::Tensor& target, double quantile) {
  return once(quantile_loss(quantile), predictions, target);
}
double cosine_similarity(const at::Tensor& predictions, const at::Tensor& target) {
  return once(cosine_similarity(), predictions, target);
}

}  // namespace athanor::metrics
