// SPDX-License-Identifier: Apache-2.0
// How a metric function accumulates: averaged, or called once with everything, or with a confusion matrix.
//
//     using namespace athanor;
//     Metrics metrics = {
//         Metric("bias", accumulate::mean(bias)).lower_is_better(),   // the same as Metric("bias", bias)
//         {"auc", accumulate::keep_all(area_under_curve)},
//         {"kappa", accumulate::confusion(10, [](const at::Tensor& matrix) { return kappa(matrix); })}};
//
// Each function may return a number, a scalar tensor, or several of these under names (Values, std::map<std::string,
// double>, a Tree dictionary): the values of metric "f" are then called f_NAME, and NAME alone when the metric has an
// empty name.
#pragma once

#include <utility>

#include "athanor/metrics/confusion_matrix.hpp"
#include "athanor/metrics/keep_all.hpp"
#include "athanor/metrics/metric_function.hpp"

namespace athanor::accumulate {

/// Right for values that are means over samples; wrong for ratios such as precision, and for anything else whose value
/// over two batches is not the mean of its values over each. That one needs one of the others.
template <MetricFunction F>
[[nodiscard]] MeanOf<F> mean(F function) {
  return MeanOf<F>(std::move(function));
}

/// Exact for any function; memory grows with the data (KeepAll tells more).
template <MetricFunction F>
[[nodiscard]] KeepAll<F> keep_all(F function, KeepAllOptions options = {}) {
  return KeepAll<F>(std::move(function), options);
}

/// A function of the confusion matrix of everything.
template <MatrixFunction F>
class OfConfusion {
 public:
  OfConfusion(metrics::ConfusionMatrixOptions options, F function) : matrix_(options), function_(std::move(function)) {}

  void update(const at::Tensor& predictions, const at::Tensor& target) { matrix_.update(predictions, target); }
  void merge(const OfConfusion& other) { matrix_.merge(other.matrix_); }
  [[nodiscard]] Tree compute() const { return metrics::detail::tree_of(function_(matrix_.compute())); }
  [[nodiscard]] bool empty() const noexcept { return matrix_.empty(); }
  void reset() { matrix_.reset(); }
  void state(State& state) { state.child("matrix", matrix_); }

 private:
  metrics::ConfusionMatrix matrix_;
  mutable F function_;
};

/// Exact for any function of the counts of a classification; memory is `classes` squared. `function` gets (C, C),
/// int64, on the CPU; rows are targets, columns predictions. The options of ConfusionMatrix say how predictions become
/// classes. Throws Error for options out of their range.
template <MatrixFunction F>
[[nodiscard]] OfConfusion<F> confusion(int64_t classes, F function) {
  return OfConfusion<F>({.classes = classes}, std::move(function));
}
template <MatrixFunction F>
[[nodiscard]] OfConfusion<F> confusion(metrics::ConfusionMatrixOptions options, F function) {
  return OfConfusion<F>(options, std::move(function));
}

}  // namespace athanor::accumulate
